"""Payouts on their way: due → sent → paid, and what comes back.

A payout is marked as sent before anybody is asked to pay it; whoever pays knows it by our public id and pays it once,
however often it is asked for. So a crash at any point, or a lost answer, ends with exactly one payout.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.urls import reverse
from django.utils.translation import gettext_lazy
from django_stubs_ext import StrOrPromise

from accounts.models import Organisation
from accounts.roles import Permission
from billing.lifecycle import PayoutStatus, switch_payout
from billing.models import Payout, PayoutMethod
from billing.payments.base import Gone, NewPayout, PayoutService, Refused, RemotePayout, ServiceDown, Unclear
from billing.payments.services import payouts as payout_service
from billing.payouts import books, usdc
from billing.payouts.deciding import lock
from billing.payouts.payees import missing, profile_of
from lib.clock import now
from lib.errors import AppError
from lib.turns import turn
from notifications.inbox import notify

log = logging.getLogger(__name__)
Kind = PayoutMethod.Kind
OFTEN, SELDOM = timedelta(minutes=1), timedelta(minutes=30)
FRESH = timedelta(hours=1)
# A payout that was paid may come back: its account is closed, nobody claims it. Looked at once a day.
MAY_RETURN, DAILY = timedelta(days=45), timedelta(days=1)
BATCH = 20
# When there is somebody to ask: our bank hears of payouts from a file, and what USDC a chain has taken stays there.
ASKED: dict[str, tuple[str, ...]] = {
    Kind.STRIPE: (PayoutStatus.NEW, PayoutStatus.SENT, PayoutStatus.PAID),
    Kind.PAYPAL: (PayoutStatus.NEW, PayoutStatus.SENT, PayoutStatus.PAID),
    Kind.USDC: (PayoutStatus.NEW, PayoutStatus.SENT),
}
NEVER_LEFT = (PayoutStatus.FAILED, PayoutStatus.CANCELLED)
UNCLEAR = "unclear"  # the reason of one that may have left, while it waits for a person: see `billing.payouts.unclear`
UNDER_WAY = (PayoutStatus.SENT, PayoutStatus.EXPORTED)


def reconcile_payouts() -> int:
    """Send what is due and ask about what is in between. Returns how many were asked about."""
    claimed = _claim()
    for payout in claimed:
        try:
            bring_up(payout.pk)
        except AppError as away:  # it holds up no other
            log.warning("payout %s waits: %s", payout.public_id, getattr(away, "detail", away.message))
        except Exception:  # nor does a defect, or a database that is away for a moment
            log.exception("payout %s", payout.public_id)
    return len(claimed)


def bring_up(payout_id: UUID) -> Payout:
    """Bring a payout up to what whoever pays it says. Safe to repeat. Raises ServiceDown, NotConfigured.

    One at a time asks to pay it: what a second one hears says nothing of a request that is still on its way.
    """
    payout = _find(payout_id)
    if payout.service_ref or payout.status not in ASKED.get(payout.kind, ()):
        return _bring_up(payout)
    with turn(f"payout:{payout_id}") as ours:
        return _bring_up(_find(payout_id)) if ours else payout


def _find(payout_id: UUID) -> Payout:
    return Payout.objects.select_related("organisation", "method").get(pk=payout_id)


def _bring_up(payout: Payout) -> Payout:
    if payout.status not in ASKED.get(payout.kind, ()):
        return payout
    service, was_asked = _service(payout.kind), payout.status == PayoutStatus.SENT
    if payout.status == PayoutStatus.NEW:
        moment = now()
        if not is_due(payout):
            return payout
        if not switch_payout(payout, PayoutStatus.SENT, sent_at=moment, checked_at=moment):
            return bring_up(payout.pk)
    if payout.reason == UNCLEAR and not _mark(payout, UNCLEAR, ""):
        return payout  # somebody has decided, or is asking
    try:
        remote = _ask(service, payout)
    except Refused as refusal:
        if was_asked and payout.kind == Kind.PAYPAL and not payout.service_ref:
            # The answer to the first may be lost, and the money gone: PayPal finds nothing by our name.
            _leave_to_people(payout, f"refused when it was sent again ({refusal})")
            raise Unclear("refused when it was sent again") from refusal
        return book(payout, RemotePayout("", "", "failed", payout.amount, payout.currency, refusal.issue))
    except Unclear as unclear:
        _leave_to_people(payout, unclear.detail)
        raise
    except Gone:
        log.error("payout %s: %s no longer knows %s", payout.public_id, payout.kind, payout.service_ref)
        return payout
    if (remote.reference, remote.amount, remote.currency) != (payout.public_id, payout.amount, payout.currency):
        log.error("payout %s: another one was answered, %s", payout.public_id, remote.ref)
        raise ServiceDown("another payout than the one asked for")
    return book(payout, remote)


def _leave_to_people(payout: Payout, why: str) -> None:
    if payout.reason != UNCLEAR:  # said once, however often it is asked about
        log.error("payout %s: %s: look for it there", payout.public_id, why)
    _mark(payout, "", UNCLEAR)


def _mark(payout: Payout, before: str, after: str) -> bool:
    """False when somebody else was first."""
    same = Payout.objects.filter(pk=payout.pk, status=PayoutStatus.SENT, reason=before)
    return bool(same.update(reason=after))


def is_due(payout: Payout) -> bool:
    """Whether it may leave now: it has waited, was looked at where that is needed, and nothing is missing of its payee."""
    is_approved = not payout.needs_approval or payout.approved_at is not None
    return is_approved and payout.not_before <= now() and not missing(profile_of(payout.organisation), payout.kind)


def due() -> QuerySet[Payout]:
    """What has waited and was looked at."""
    is_approved = Q(needs_approval=False) | Q(approved_at__isnull=False)
    return Payout.objects.filter(is_approved, status=PayoutStatus.NEW, not_before__lte=now())


@transaction.atomic
def book(payout: Payout, remote: RemotePayout) -> Payout:
    """What became of it, in the ledger and in its row. Safe to repeat, in any order."""
    if payout.kind == Kind.USDC:
        # Its owner's wallet and earnings both move: so they do where the wallet is unlinked, in another order.
        Organisation.objects.select_for_update(no_key=True).get(pk=payout.organisation_id)
    payout = lock(payout)
    moment, back = now(), min(remote.returned, payout.amount)
    seen = {"checked_at": moment, "service_ref": remote.ref or payout.service_ref}
    if remote.state == "failed" and payout.kind == Kind.USDC and not usdc.take_back(payout):
        remote = RemotePayout(remote.ref, "", "paid", payout.amount, payout.currency, usdc.KEPT)
    Payout.objects.filter(pk=payout.pk).update(**seen)
    if remote.state in {"pending", "paid"} and payout.status in NEVER_LEFT:
        log.error(
            "payout %s is %s, and %s says that it is %s", payout.public_id, payout.status, payout.kind, remote.state
        )
    if remote.state == "paid" and payout.status in UNDER_WAY:
        books.settle(payout, paid=True)
        switch_payout(payout, PayoutStatus.PAID, reason=remote.reason[:80], finished_at=moment)
        _tell(payout, "paid", gettext_lazy("Your earnings were paid out"))
    if remote.state in {"failed", "returned"}:
        back = payout.amount
    if back > payout.returned:
        _book_back(payout, back, remote)
    payout.refresh_from_db()
    return payout


def _book_back(payout: Payout, back: Decimal, remote: RemotePayout) -> None:
    """It never left, or has come back: the earnings have it again."""
    to = PayoutStatus.FAILED if remote.state == "failed" else PayoutStatus.RETURNED
    if payout.status in UNDER_WAY and back == payout.amount:
        books.settle(payout, paid=False)
    elif payout.status == PayoutStatus.PAID:
        books.take_back(payout, back)
        to = PayoutStatus.RETURNED
    else:
        return
    came = {"returned": back} if to == PayoutStatus.RETURNED else {}
    if back < payout.amount:
        Payout.objects.filter(pk=payout.pk).update(**came)
        return
    log.error("payout %s %s: %s", payout.public_id, to, remote.reason)
    switch_payout(payout, to, reason=remote.reason[:80], finished_at=now(), **came)
    words = {
        PayoutStatus.FAILED: gettext_lazy("A payout failed; the sum is among your earnings again"),
        PayoutStatus.RETURNED: gettext_lazy("A payout came back; the sum is among your earnings again"),
    }
    _tell(payout, to, words[to])


def _claim() -> list[Payout]:
    """Marking them as asked keeps another worker off until their next turn."""
    moment = now()
    rested = Q(checked_at=None) | Q(checked_at__lt=moment - OFTEN)
    soon = Q(~Q(reason=UNCLEAR), Q(sent_at__gt=moment - FRESH) | Q(service_ref=""), checked_at__lt=moment - OFTEN)
    asked = Q(checked_at__lt=moment - SELDOM) | soon
    by_service = Payout.objects.exclude(kind=Kind.BANK)
    back = by_service.exclude(kind=Kind.USDC).filter(
        status=PayoutStatus.PAID, finished_at__gt=moment - MAY_RETURN, checked_at__lt=moment - DAILY
    )
    rows: list[Payout] = []
    with transaction.atomic():
        for waiting in (
            due().exclude(kind=Kind.BANK).filter(rested),
            by_service.filter(asked, status=PayoutStatus.SENT),
            back,
        ):
            oldest = waiting.order_by(F("checked_at").asc(nulls_first=True))
            rows += oldest.select_for_update(skip_locked=True, no_key=True)[:BATCH]
        Payout.objects.filter(pk__in=[row.pk for row in rows]).update(checked_at=moment)
    return rows


def _service(kind: str) -> PayoutService:
    return usdc.UsdcPayouts() if kind == Kind.USDC else payout_service(kind)


def _ask(service: PayoutService, payout: Payout) -> RemotePayout:
    if payout.service_ref:
        return service.fetch_payout(payout.service_ref)
    return service.send_payout(
        NewPayout(
            reference=payout.public_id,
            destination=payout.method.destination,
            amount=payout.amount,
            currency=payout.currency,
            note=f"GPUBroker {payout.public_id}",
            first_asked=payout.sent_at,
        )
    )


def _tell(payout: Payout, event: str, title: StrOrPromise) -> None:
    notify(
        payout.organisation,
        kind=f"payout.{event}",
        title=title,
        body=f"{payout.amount:.2f} {payout.currency} → {payout.method}",
        url=reverse("billing:earnings"),
        permission=Permission.SEE_BILLING,
    )
