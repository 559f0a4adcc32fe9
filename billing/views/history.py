"""The page of the wallet's history, and the same as a file."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from accounts.models import Organisation
from accounts.requests import Request
from billing import access, history
from billing.wallet import BALANCES
from lib.errors import Invalid
from lib.forms import add_refusal
from lib.rate import limit
from lib.spreadsheets import answer_csv, plain

ROWS = 50
DAY = {"type": "date"}


class HistoryForm(forms.Form):
    currency = forms.ChoiceField(
        label=_("Currency"), required=False, choices=[("", _("All")), *((name, name) for name in BALANCES)]
    )
    since = forms.DateField(label=_("From (UTC)"), required=False, widget=forms.DateInput(DAY, format="%Y-%m-%d"))
    until = forms.DateField(label=_("Until (UTC)"), required=False, widget=forms.DateInput(DAY, format="%Y-%m-%d"))

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not self.errors:
            try:
                self.wanted = history.Wanted(**data)
            except Invalid as refusal:
                add_refusal(self, refusal)
        return data


@require_GET
def show(request: Request) -> HttpResponse:
    organisation = access.organisation_to_see(request.actor)
    form = HistoryForm(request.GET)
    context: dict[str, Any] = {"form": form, "rows": []}
    if form.is_valid():
        cursor = request.GET.get("before") or None
        page = history.page(organisation, form.wanted, limit=ROWS, cursor=cursor)
        filters = urlencode({name: value for name, value in form.cleaned_data.items() if value})
        older = f"?{filters}&{urlencode({'before': page['next']})}" if page["next"] else ""
        context |= {"rows": page["items"], "filters": filters, "older": older, "is_first": cursor is None}
    return render(request, "billing/history.html", context, status=422 if form.errors else 200)


@require_GET
def download(request: Request) -> StreamingHttpResponse:
    organisation = access.organisation_to_see(request.actor)
    limit(f"organisation:{organisation.pk}", "billing.export", per_minute=30)
    form = HistoryForm(request.GET)
    if not form.is_valid():
        fields = {name: [str(text) for text in texts] for name, texts in form.errors.items()}
        raise Invalid(gettext("Some values are not valid."), fields=fields)
    return as_file(request, organisation, form.wanted)


def as_file(request: HttpRequest, organisation: Organisation, wanted: history.Wanted) -> StreamingHttpResponse:
    """Amounts as the ledger has them, with a sign and a point; the names that people gave are no formulas."""
    rows = (
        [
            row.at.isoformat(),
            row.source_type,
            plain(row.memo),
            f"{row.amount:f}",
            f"{row.balance:f}",
            row.currency,
            plain(row.source_id),
            str(row.id),
        ]
        for row in history.rows(organisation, wanted)
    )
    return answer_csv(request, name="wallet", columns=history.CSV_COLUMNS, rows=rows)
