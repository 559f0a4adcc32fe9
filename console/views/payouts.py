"""The staff page of payouts: who waits for us, large sums, the bank's files, what can be tried again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.db.models import Case, Count, F, Q, QuerySet, When
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from accounts.access import require_person
from accounts.models import Organisation
from accounts.requests import Request
from billing.models import BankFile, PayeeProfile, Payout
from billing.payouts import bank, deciding, methods, payees, sending, unclear
from console.access import get_row, require_staff
from lib.clock import now
from lib.errors import AppError, NotFound
from lib.ids import decode_id
from lib.rate import limit

ROWS = 50
OPEN = ("new", "sent", "exported")
Act = Callable[..., Payout]  # of the payout, what the form says, who does it as `person` and `actor`
ACTS: dict[str, Act] = {
    "approve": lambda payout, given, **by: deciding.approve(payout, **by),
    "refuse": lambda payout, given, person, actor: deciding.cancel(payout, actor=actor, reason="by_staff"),
    "retry": lambda payout, given, **by: sending.bring_up(payout.pk),
    "paid": lambda payout, given, **by: bank.mark_paid(payout, **by),
    "returned": lambda payout, given, **by: bank.mark_returned(payout, reason=given.get("reason", ""), **by),
    "was-paid": lambda payout, given, **by: unclear.was_paid(
        payout, ref=given.get("ref", ""), reason=given.get("reason", ""), **by
    ),
    "never-left": lambda payout, given, **by: unclear.never_left(payout, reason=given.get("reason", ""), **by),
}


@require_GET
def show_payouts(request: Request) -> HttpResponse:
    """What is open, and who waits, stand with the oldest first: nothing falls off the end."""
    require_staff(request.actor, "billing")
    wanted = request.GET.get("payout", "").strip()[:40]
    rows = Payout.objects.select_related("organisation__payee_profile", "method", "bank_file")
    if wanted:
        rows = rows.filter(pk__in=_ids(wanted))
    waiting = _page(request, "payees", _waiting())
    waiting.object_list = [(profile, payees.digest(profile)) for profile in waiting]
    context = {
        "wanted": wanted,
        "open": _page(request, "open", rows.filter(status__in=OPEN).order_by("pk")),
        "ended": _page(request, "ended", rows.exclude(status__in=OPEN).order_by("-pk")),
        "payees": waiting,
        "files": _page(request, "files", _files()),
        "has_bank": methods.Kind.BANK in methods.configured(),
        "now": now(),
    }
    return render(request, "console/payouts.html", context)


@require_POST
def act_on_payout(request: Request, payout_id: str, act: str) -> HttpResponse:
    actor = require_staff(request.actor, "billing", change=True)
    limit(request, "payouts.act", per_minute=60)
    person = require_person(request.actor)
    found = get_row(Payout.objects.select_related("organisation", "method"), "pyo", payout_id)
    if act not in ACTS:
        raise NotFound(_("This does not exist."))

    def do() -> str:
        payout = ACTS[act](found, request.POST, person=person, actor=actor)
        return f"{payout.public_id}: {payout.get_status_display()}"

    return _try(request, do)


@require_POST
def act_on_payee(request: Request, organisation_id: str, act: str) -> HttpResponse:
    """What is confirmed is what was on the page: `shown` is its digest."""
    actor = require_staff(request.actor, "billing", change=True)
    limit(request, "payouts.act", per_minute=60)
    person = require_person(request.actor)
    found = get_row(Organisation.objects.all(), "org", organisation_id)
    profile = payees.profile_of(found)
    shown, reason = request.POST.get("shown", ""), request.POST.get("reason", "")
    acts: dict[str, Callable[[], None]] = {
        "tax": lambda: payees.confirm_tax_form(profile, shown=shown, person=person, actor=actor),
        "identity": lambda: payees.confirm_identity(profile, shown=shown, person=person, actor=actor),
        "hold": lambda: payees.hold(found, reason=reason, person=person, actor=actor),
        "let-go": lambda: payees.let_go(found, person=person, actor=actor),
    }
    if act not in acts:
        raise NotFound(_("This does not exist."))

    def do() -> str:
        acts[act]()
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
    actor = require_staff(request.actor, "billing", change=True)
    limit(request, "payouts.bank_file", per_minute=6)
    found = get_row(BankFile.objects.all(), "bkf", file_id)
    headers = {"Content-Disposition": f'attachment; filename="{found.public_id}.xml"', "Cache-Control": "no-store"}
    return HttpResponse(bank.read(found, actor=actor), content_type="application/xml", headers=headers)


@require_POST
def mark_bank_file_paid(request: Request, file_id: str) -> HttpResponse:
    actor = require_staff(request.actor, "billing", change=True)
    limit(request, "payouts.bank_file", per_minute=6)
    person, found = require_person(request.actor), get_row(BankFile.objects.all(), "bkf", file_id)

    def do() -> str:
        marked = bank.mark_file_paid(found, person=person, actor=actor)
        text = ngettext("%(n)d payout is marked as paid.", "%(n)d payouts are marked as paid.", marked)
        return text % {"n": marked}

    return _try(request, do)


def _ids(wanted: str) -> list[Any]:
    """The payout that is looked for, by its public id or as a bank statement has it; none for what cannot be one."""
    try:
        return [decode_id("pyo", wanted.replace("-", "_"))]
    except NotFound:
        return []


def _waiting() -> QuerySet[PayeeProfile]:
    """Those who stated something first, the longest ago leading."""
    rows = payees.incomplete().select_related("organisation")
    return rows.order_by(F("tax_stated_at").asc(nulls_last=True), "pk")


def _files() -> QuerySet[BankFile]:
    """Those of which the bank has not paid all first."""
    rows = BankFile.objects.select_related("created_by")
    unpaid = Count("payouts", filter=Q(payouts__status="exported"))
    return rows.annotate(unpaid=unpaid, is_over=Case(When(unpaid=0, then=1), default=0)).order_by("is_over", "-pk")


def _page(request: Request, name: str, rows: QuerySet[Any]) -> Page[Any]:
    """One page of a list; `name` is its part of the address."""
    return Paginator(rows, ROWS).get_page(request.GET.get(name))


def _try(request: Request, act: Callable[[], str]) -> HttpResponse:
    try:
        done = act()
    except AppError as refusal:
        texts = [text for texts in refusal.fields.values() for text in texts]
        messages.error(request, " ".join(dict.fromkeys([refusal.message, *texts])))
    else:
        messages.success(request, done)
    return redirect("console:payouts")
