"""The page of earnings: what there is, when it can be paid out, where to, and what was paid."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.models import Organisation
from accounts.requests import Request
from accounts.roles import Permission
from billing import access, usage
from billing.chain import links
from billing.forms.payouts import PayeeForm, PayoutForm, SumForm, empty_forms
from billing.payouts import deciding, earnings, methods, payees, requesting, statements
from lib.clock import now
from lib.errors import AppError
from lib.forms import add_refusal
from lib.rate import limit

ROWS, DAYS = 20, 30
SHARE = f"{(usage.OPERATOR_SHARE * 100).normalize():f}"  # per cent
LIVE_PATH = "/ws/dashboard/"
PAYOUT_IDS, MOVE_IDS = "payout_%s", "move_%s"  # both forms have an amount


@require_GET
def show(request: Request) -> HttpResponse:
    organisation = access.organisation_to_see(request.actor)
    if request.htmx:
        return render(request, "billing/_earnings.html", rows_of(organisation))
    return page(request, organisation)


@require_POST
def payout(request: Request) -> HttpResponse:
    organisation = access.organisation_to_pay_for(request.actor)
    limit(f"organisation:{organisation.pk}", "billing.pay", per_minute=20)
    form = PayoutForm(methods.methods_of(organisation), request.POST, auto_id=PAYOUT_IDS)

    def ask() -> str:
        chosen = form.cleaned_data["method"]
        made = requesting.request_payout(
            organisation=organisation,
            amount=form.cleaned_data["amount"],
            method=access.get_payout_method(request.actor, chosen, organisation) if chosen else None,
            actor=request.actor,
            key=f"page-{form.cleaned_data['token']}",
        )
        return _("A payout of %(amount)s USD has begun.") % {"amount": f"{made.amount:.2f}"}

    return answer(request, organisation, form, ask, payout_form=form)


@require_POST
def move(request: Request) -> HttpResponse:
    organisation = access.organisation_to_pay_for(request.actor)
    limit(f"organisation:{organisation.pk}", "billing.pay", per_minute=20)
    form = SumForm(request.POST, auto_id=MOVE_IDS)

    def act() -> str:
        moved = requesting.move_to_wallet(
            organisation=organisation,
            amount=form.cleaned_data["amount"],
            actor=request.actor,
            key=f"page-{form.cleaned_data['token']}",
        )
        return _("%(amount)s USD are in your wallet.") % {"amount": f"{moved:.2f}"}

    return answer(request, organisation, form, act, move_form=form)


@require_POST
def payee(request: Request) -> HttpResponse:
    organisation = access.organisation_to_pay_for(request.actor)
    limit(f"organisation:{organisation.pk}", "billing.payee", per_minute=20)
    form = PayeeForm(request.POST)

    def act() -> str:
        payees.change(organisation, **form.cleaned_data, actor=request.actor)
        return _("Saved.")

    return answer(request, organisation, form, act, payee_form=form)


@require_POST
def cancel(request: Request, payout_id: str) -> HttpResponse:
    found = access.get_payout(request.actor, payout_id, Permission.MANAGE_BILLING)
    limit(f"organisation:{found.organisation_id}", "billing.pay", per_minute=20)
    try:
        deciding.cancel(found, actor=request.actor)
    except AppError as refusal:
        messages.error(request, refusal.message)
    else:
        messages.success(request, _("The payout was called off; the sum is among your earnings again."))
    return redirect("billing:earnings")


def answer(
    request: Request, organisation: Organisation, form: forms.Form, act: Callable[[], str], **shown: forms.Form
) -> HttpResponse:
    """Do it, or show the page again with what is wrong beside the field."""
    if form.is_valid():
        try:
            done = act()
        except AppError as refusal:
            add_refusal(form, refusal)
        else:
            messages.success(request, done)
            return redirect("billing:earnings")
    return page(request, organisation, status=422, **shown)


def page(request: Request, organisation: Organisation, *, status: int = 200, **given: forms.Form) -> HttpResponse:
    profile = payees.profile_of(organisation)
    days = earnings.earned_by_day(organisation, days=DAYS)
    ways = list(methods.methods_of(organisation))
    context = {
        **rows_of(organisation),
        **_forms(organisation, ways),
        **given,
        "profile": profile,
        "missing": methods.missing_of(organisation),
        "share": SHARE,
        "methods": ways,
        "kinds": methods.configured(),
        "wallets": links.wallets_of(organisation),
        "days": days,
        "earned": sum((amount for _day, amount in days), earnings.ZERO),
        "chart": _chart(days),
        "months": statements.months_of(organisation),
        "smallest": requesting.SMALLEST,
        "approval_above": settings.PAYOUT_APPROVAL_ABOVE,
        "method_delay": settings.PAYOUT_METHOD_DELAY.total_seconds(),
        "live_path": LIVE_PATH,
    }
    return render(request, "billing/earnings.html", context, status=status)


def rows_of(organisation: Organisation) -> dict[str, Any]:
    """What changes while one looks."""
    profile = payees.profile_of(organisation)
    return {
        "has_earned": earnings.has_earned(organisation),
        "earnings": earnings.earnings_of(organisation),
        "free_from": earnings.free_from(organisation),
        "next_pay_day": requesting.last_pay_day() + requesting.WEEK,
        "pays_weekly": profile.pays_weekly,
        "is_held_up": bool(methods.missing_of(organisation)),
        "hold_back": earnings.HOLD_BACK.days,
        "payouts": requesting.payouts_of(organisation)[:ROWS],
        "now": now(),
    }


def _forms(organisation: Organisation, ways: list[Any]) -> dict[str, forms.Form]:
    profile = payees.profile_of(organisation)
    stated = {name: getattr(profile, name) for name in ("legal_name", "country", "tax_form", "pays_weekly")}
    if not profile.country:
        stated["country"] = organisation.country
    return {
        "payout_form": PayoutForm(ways, initial={"token": uuid4().hex}, auto_id=PAYOUT_IDS),
        "move_form": SumForm(initial={"token": uuid4().hex}, auto_id=MOVE_IDS),
        "payee_form": PayeeForm(initial=stated),
        **empty_forms(organisation),
    }


def _chart(days: list[tuple[date, Decimal]]) -> dict[str, list[str]]:
    """Columns by name, as `charts.js` reads them."""
    return {
        "days": [day.isoformat() for day, _amount in days],
        "earned": [f"{amount:.6f}" for _day, amount in days],
    }
