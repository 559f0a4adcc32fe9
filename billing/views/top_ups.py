"""The pages of the automatic top-up and of the alerts of balances."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.requests import Request
from billing import access, auto_top_up, balance_alerts, payment_methods, wallet
from billing.forms.top_ups import AlertForm, AutoTopUpForm
from billing.models import AutoTopUp, BalanceAlert
from lib.errors import Invalid
from lib.forms import add_refusal, read_number


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


@require_http_methods(["GET", "POST"])
def alerts(request: Request) -> HttpResponse:
    """One form for each balance; each is saved by itself."""
    organisation = access.organisation_to_pay_for(request.actor)
    sent = request.POST.get("currency", "") if request.method == "POST" else ""
    rows = []
    for alert in balance_alerts.alerts_of(organisation):
        form = _alert_form(alert, request.POST if alert.currency == sent else None)
        if alert.currency == sent and form.is_valid() and _save(request, alert, form):
            return redirect("billing:alerts")
        rows.append({"alert": alert, "form": form, "balance": wallet.balance(organisation, alert.currency)})
    context = {"rows": rows}
    failed = any(row["form"].errors for row in rows)  # type: ignore[attr-defined]
    return render(request, "billing/alerts.html", context, status=422 if failed else 200)


def _alert_form(alert: BalanceAlert, sent: QueryDict | None) -> AlertForm:
    below = "" if alert.below is None else f"{alert.below.normalize():f}"
    form = AlertForm(sent, prefix=alert.currency, initial={"below": below, "watches_runway": alert.watches_runway})
    if alert.currency not in wallet.CURRENCIES:
        del form.fields["watches_runway"]  # no pod is paid with it
    return form


def _save(request: Request, alert: BalanceAlert, form: AlertForm) -> bool:
    try:
        balance_alerts.change(
            alert.organisation,
            currency=alert.currency,
            below=read_number(form.cleaned_data["below"]),
            watches_runway=form.cleaned_data.get("watches_runway", alert.watches_runway),
            actor=request.actor,
        )
    except Invalid as refusal:
        add_refusal(form, refusal)
        return False
    messages.success(request, _("Saved."))
    return True
