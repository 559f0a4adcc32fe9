"""The staff page of payouts: who waits for us, large sums, the bank's files, what can be tried again."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.access import require_person
from accounts.actor import Actor
from accounts.models import User
from accounts.requests import Request
from billing.models import BankFile, PayeeProfile, Payout
from billing.payouts import bank, deciding, methods, payees, sending
from console.access import require_staff
from lib.clock import now
from lib.errors import AppError, NotFound
from lib.ids import decode_id
from lib.rate import limit

ROWS = 100
OPEN = ("new", "sent", "exported")
Act = Callable[[Payout, Actor, User, str], Payout]
ACTS: dict[str, Act] = {
    "approve": lambda payout, actor, person, reason: deciding.approve(payout, person=person, actor=actor),
    "refuse": lambda payout, actor, person, reason: deciding.cancel(payout, actor=actor, reason="by_staff"),
    "retry": lambda payout, actor, person, reason: sending.bring_up(payout.pk),
    "paid": lambda payout, actor, person, reason: bank.mark_paid(payout, actor=actor),
    "returned": lambda payout, actor, person, reason: bank.mark_returned(payout, reason=reason, actor=actor),
}


@require_GET
def show_payouts(request: Request) -> HttpResponse:
    require_staff(request.actor, "billing")
    related = Payout.objects.select_related("organisation", "method", "bank_file").order_by("-pk")
    waiting = PayeeProfile.objects.exclude(tax_form="none", identity="verified").select_related("organisation")
    context = {
        "open": related.filter(status__in=OPEN)[:ROWS],
        "ended": related.exclude(status__in=OPEN)[:20],
        "payees": [profile for profile in waiting.order_by("-pk")[:ROWS] if payees.missing(profile)],
        "files": BankFile.objects.select_related("created_by").order_by("-pk")[:10],
        "has_bank": methods.Kind.BANK in methods.configured(),
        "now": now(),
    }
    return render(request, "console/payouts.html", context)


@require_POST
def act_on_payout(request: Request, payout_id: str, act: str) -> HttpResponse:
    actor = require_staff(request.actor, "billing", change=True)
    person = require_person(request.actor)
    found = Payout.objects.filter(pk=decode_id("pyo", payout_id)).select_related("organisation", "method").first()
    if found is None or act not in ACTS:
        raise NotFound(_("There is no such payout."))
    reason = request.POST.get("reason", "")

    def do() -> str:
        payout = ACTS[act](found, actor, person, reason)
        return f"{payout.public_id}: {payout.get_status_display()}"

    return _try(request, do)


@require_POST
def act_on_payee(request: Request, organisation_id: str, act: str) -> HttpResponse:
    actor = require_staff(request.actor, "billing", change=True)
    person = require_person(request.actor)
    rows = PayeeProfile.objects.select_related("organisation")
    profile = rows.filter(organisation=decode_id("org", organisation_id)).first()
    acts: dict[str, Callable[[PayeeProfile], None]] = {
        "tax": lambda payee: payees.confirm_tax_form(payee, person=person, actor=actor),
        "identity": lambda payee: payees.verify_identity(payee.organisation, by=payees.STAFF, actor=actor),
        "hold": lambda payee: payees.hold(payee, reason=request.POST.get("reason", ""), actor=actor),
    }
    if profile is None or act not in acts:
        raise NotFound(_("There is no such payee."))

    def do() -> str:
        acts[act](profile)
        return _("Saved.")

    return _try(request, do)


@require_POST
def make_bank_file(request: Request) -> HttpResponse:
    actor = require_staff(request.actor, "billing", change=True)
    person = require_person(request.actor)
    limit(request, "payouts.bank_file", per_minute=6)

    def do() -> str:
        file = bank.export(person=person, actor=actor)
        return _("%(file)s is made: hand it to the bank, then mark its payouts.") % {"file": file.public_id}

    return _try(request, do)


@require_GET
def download_bank_file(request: Request, file_id: str) -> HttpResponse:
    """It holds account numbers: only for who may change billing."""
    require_staff(request.actor, "billing", change=True)
    found = BankFile.objects.filter(pk=decode_id("bkf", file_id)).first()
    if found is None:
        raise NotFound(_("There is no such file."))
    headers = {"Content-Disposition": f'attachment; filename="{found.public_id}.xml"', "Cache-Control": "no-store"}
    return HttpResponse(bank.read(found), content_type="application/xml", headers=headers)


def _try(request: Request, act: Callable[[], str]) -> HttpResponse:
    try:
        done = act()
    except AppError as refusal:
        texts = [text for texts in refusal.fields.values() for text in texts]
        messages.error(request, " ".join(dict.fromkeys([refusal.message, *texts])))
    else:
        messages.success(request, done)
    return redirect("console:payouts")
