"""The page of monthly spend limits: one small form for the organisation and for each member."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.formats import localize_input
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from accounts.access import current_organisation, get_member, permissions_of
from accounts.models import Organisation
from accounts.requests import Request
from accounts.roles import Permission
from lib.errors import AppError
from pods import spend_limits

CENT = Decimal("0.01")
AMOUNT = {"inputmode": "decimal", "autocomplete": "off", "size": "8"}


class LimitForm(forms.Form):
    member = forms.CharField(max_length=40, required=False, widget=forms.HiddenInput)
    soft = forms.CharField(
        label=gettext_lazy("Notify at, USD"), max_length=20, required=False, widget=forms.TextInput(AMOUNT)
    )
    hard = forms.CharField(
        label=gettext_lazy("Stop at, USD"), max_length=20, required=False, widget=forms.TextInput(AMOUNT)
    )


@require_http_methods(["GET", "POST"])
def show_limits(request: Request) -> HttpResponse:
    organisation = current_organisation(request.actor, Permission.SEE_BILLING)
    sent = LimitForm(request.POST) if request.method == "POST" else None
    if sent is not None:
        organisation = current_organisation(request.actor, Permission.MANAGE_BILLING)
        if sent.is_valid() and _save(request, organisation, sent):
            return redirect("console:limits")
    context = {
        "rows": [_row(standing, sent) for standing in spend_limits.standings(organisation)],
        "may_set": Permission.MANAGE_BILLING in permissions_of(request.actor, organisation.pk),
    }
    return render(request, "console/limits.html", context, status=422 if sent else 200)


def _save(request: Request, organisation: Organisation, form: LimitForm) -> bool:
    data = form.cleaned_data
    person = get_member(request.actor, data["member"], Permission.MANAGE_BILLING).user if data["member"] else None
    try:
        spend_limits.set_limit(
            organisation=organisation, person=person, soft=data["soft"], hard=data["hard"], actor=request.actor
        )
    except AppError as refusal:
        for field, texts in (refusal.fields or {"hard": [refusal.message]}).items():
            form.add_error(field, texts)
        return False
    messages.success(request, _("Saved."))
    return True


def _row(standing: spend_limits.Standing, sent: LimitForm | None) -> dict[str, Any]:
    limit, spent = standing.limit, standing.spent
    member = standing.member.public_id if standing.member else ""
    form = LimitForm(
        initial={"member": member, "soft": _plain(limit.soft), "hard": _plain(limit.hard)}, auto_id=f"id_%s_{member}"
    )
    if sent is not None and sent.data.get("member", "") == member:
        sent.auto_id = f"id_%s_{member}"
        form = sent
    return {
        "person": limit.person,
        "spent": spent,
        "soft": limit.soft,
        "hard": limit.hard,
        "passed": limit.hard is not None and spent >= limit.hard,
        "form": form,
    }


def _plain(amount: Decimal | None) -> str:
    return "" if amount is None else localize_input(amount.quantize(CENT))
