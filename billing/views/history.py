"""The page of the wallet's history, and the same as a file."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from accounts.requests import Request
from billing import access, history
from billing.wallet import BALANCES
from lib.errors import Invalid
from lib.forms import DaysForm
from lib.lists import listed
from lib.rate import limit

ROWS = 50


class HistoryForm(DaysForm):
    currency = forms.ChoiceField(
        label=_("Currency"), required=False, choices=[("", _("All")), *((name, name) for name in BALANCES)]
    )
    field_order = ("currency",)


@require_GET
def show(request: Request) -> HttpResponse:
    organisation = access.organisation_to_see(request.actor)
    form = HistoryForm(request.GET)
    context: dict[str, Any] = {"form": form, "rows": []}
    if form.is_valid():
        cursor = request.GET.get("before") or None
        wanted = history.Wanted(**form.cleaned_data)
        page = history.page(organisation, wanted, limit=ROWS, cursor=cursor)
        context |= listed(page, form.cleaned_data, cursor)
    return render(request, "billing/history.html", context, status=422 if form.errors else 200)


@require_GET
def download(request: Request) -> StreamingHttpResponse:
    organisation = access.organisation_to_see(request.actor)
    limit(f"organisation:{organisation.pk}", "billing.export", per_minute=30)
    form = HistoryForm(request.GET)
    if not form.is_valid():
        fields = {name: [str(text) for text in texts] for name, texts in form.errors.items()}
        raise Invalid(gettext("Some values are not valid."), fields=fields)
    return history.as_file(request, organisation, history.Wanted(**form.cleaned_data))
