"""A month of earnings: the page and the file."""

from __future__ import annotations

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.requests import Request
from billing import access
from billing.payouts import statements
from lib.rate import limit
from lib.spreadsheets import answer_csv


@require_GET
def show(request: Request, month: str) -> HttpResponse:
    organisation = access.organisation_to_see(request.actor)
    limit(f"organisation:{organisation.pk}", "billing.statement", per_minute=60)
    statement = statements.statement_of(organisation, month)
    months = statements.months_of(organisation)
    return render(request, "billing/statement.html", {"statement": statement, "months": months})


@require_GET
def download(request: Request, month: str) -> StreamingHttpResponse:
    organisation = access.organisation_to_see(request.actor)
    limit(f"organisation:{organisation.pk}", "billing.export", per_minute=30)
    statement = statements.statement_of(organisation, month)
    rows = statements.as_rows(statement)
    return answer_csv(request, name=f"earnings-{statement.month}", columns=statements.CSV_COLUMNS, rows=rows)
