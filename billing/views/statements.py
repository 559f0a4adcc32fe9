"""A month of earnings: the page and the file."""

from __future__ import annotations

import csv

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.requests import Request
from billing import access
from billing.payouts import statements


@require_GET
def show(request: Request, month: str) -> HttpResponse:
    organisation = access.organisation_to_see(request.actor)
    statement = statements.statement_of(organisation, month)
    months = statements.months_of(organisation)
    return render(request, "billing/statement.html", {"statement": statement, "months": months})


@require_GET
def download(request: Request, month: str) -> HttpResponse:
    statement = statements.statement_of(access.organisation_to_see(request.actor), month)
    answer = HttpResponse(content_type="text/csv; charset=utf-8", headers={"Cache-Control": "private"})
    answer["Content-Disposition"] = f'attachment; filename="earnings-{statement.month}.csv"'
    csv.writer(answer).writerows(statements.as_rows(statement))
    return answer
