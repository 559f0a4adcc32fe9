"""The pages of the automatic top-up and of the alerts of balances."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.requests import Request
from billing import access, auto_top_up, payment_methods
from billing.forms_top_ups import AutoTopUpForm
from billing.models import AutoTopUp
from lib.errors import Invalid


@require_http_methods(["GET", "POST"])
def show(request: Request) -> HttpResponse:
    organisation = access.organisation_to_pay_for(request.actor)
    row = auto_top_up.settings_of(organisation)
    form = AutoTopUpForm(request.POST if request.method == "POST" else None, initial=_initial(row))
    if request.method == "POST" and form.is_valid():
        try:
            auto_top_up.change(organisation, **form.cleaned_data, actor=request.actor)
        except Invalid as refusal:
            for field, texts in refusal.fields.items():
                form.add_error(field, texts)
        else:
            messages.success(request, _("Saved."))
            return redirect("billing:auto_top_up")
    context = {"form": form, "row": row, "card": payment_methods.default_of(organisation)}
    return render(request, "billing/auto_top_up.html", context, status=422 if form.errors else 200)


def _initial(row: AutoTopUp) -> dict[str, object]:
    sums = {name: getattr(row, name) for name in ("threshold", "amount")}
    return {"is_on": row.is_on, **{name: "" if value is None else f"{value:.2f}" for name, value in sums.items()}}
