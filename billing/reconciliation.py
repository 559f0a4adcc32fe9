"""The books against the world outside: each source is compared nightly and on demand; what differs becomes a case.

A comparison asks the payment service, the chain or the provider about each of our rows, and never changes anything. A
case stays open until a later run no longer finds it, or a person has explained it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet, Sum
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from accounts.models import User
from billing import chargebacks
from billing.book_checks import check_books
from billing.chain import networks, nodes
from billing.models import (
    Account,
    Deposit,
    Payment,
    Payout,
    ReconciliationCase,
    ReconciliationRun,
    Refund,
    Withdrawal,
)
from billing.payments.base import Gone, Order
from billing.payments.services import PAYPAL, STRIPE, is_configured, listing, payouts, service
from billing.states import DepositStatus, PaymentStatus, PayoutStatus, RefundStatus, WithdrawalStatus
from lib.clock import now
from lib.errors import AppError, Conflict, Invalid

log = logging.getLogger(__name__)
BOOKS = "books"
CHAIN = "usdc:"
WINDOW = timedelta(days=35)
MOST = 10_000
AT_ONCE = 200
NOTHING = "—"
# An order is compared only when neither side can still be at work on it.
SETTLED_AFTER = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Difference:
    kind: str
    subject: str
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Look:
    """One thing that was compared, and what differs in it."""

    subject: str
    differences: tuple[Difference, ...] = ()


Row = TypeVar("Row", Payment, Refund, Payout)
Comparison = Callable[[], Iterator[Look]]


def comparisons() -> dict[str, Comparison]:
    """Everything that this installation can be compared with, by source. What higher apps can compare is named in
    settings, since billing imports none of them."""
    found: dict[str, Comparison] = {BOOKS: _compare_books}
    found |= {slug: partial(_compare_payments, slug) for slug in (PAYPAL, STRIPE) if is_configured(slug)}
    found |= {CHAIN + chain.slug: partial(_compare_chain, chain.slug) for chain in networks.configured()}
    for path in settings.COMPARED_ELSEWHERE:
        found |= import_string(path)()
    return found


def sources() -> list[str]:
    return list(comparisons())


def run_all() -> list[ReconciliationRun]:
    return [run(source) for source in sources()]


def run(source: str) -> ReconciliationRun:
    """Compare with one source. When it cannot be asked to the end, the run says so and no case is closed; the other
    sources are compared all the same."""
    record = ReconciliationRun.objects.create(source=source)
    began = now()
    compared: dict[str, list[Difference]] = {}
    try:
        for look in comparisons()[source]():
            compared.setdefault(look.subject, []).extend(look.differences)
    except AppError as failure:
        record.error = failure.message[:300]
    except Exception as failure:
        log.exception("comparison with %s", source)
        record.error = repr(failure)[:300]
    found = [difference for differences in compared.values() for difference in differences]
    with transaction.atomic():
        for difference in found:
            _remember(source, difference, began)
        if not record.error:
            _close_what_is_gone(source, began, list(compared))
        record.finished_at, record.compared, record.differences = now(), len(compared), len(found)
        record.save()
    return record


def open_cases() -> list[ReconciliationCase]:
    return list(ReconciliationCase.objects.filter(resolved_at=None).order_by("-found_at"))


@dataclass(frozen=True, slots=True)
class State:
    """Of one source: the newest run that ended, and the newest that found nothing."""

    source: str
    last: ReconciliationRun | None
    last_clean_at: datetime | None
    open_cases: int


def states() -> list[State]:
    return [_state(source) for source in sources()]


def resolve(case: ReconciliationCase, *, person: User, note: str) -> None:
    """A person has explained the difference; should it be seen again, it is a new case. Raises Invalid, Conflict."""
    note = note.strip()
    if not 1 <= len(note) <= 500:
        message = _("Write what the reason was, in up to 500 characters.")
        raise Invalid(message, fields={"note": [message]})
    same = ReconciliationCase.objects.filter(pk=case.pk, resolved_at=None)
    if not same.update(resolved_at=now(), resolved_by=person, note=note):
        raise Conflict(_("This case is closed already."), code="closed")


def _state(source: str) -> State:
    ended = ReconciliationRun.objects.filter(source=source, finished_at__isnull=False).order_by("-started_at")
    clean = ended.filter(error="", differences=0).first()
    cases = ReconciliationCase.objects.filter(source=source, resolved_at=None).count()
    return State(source, ended.first(), clean.finished_at if clean else None, cases)


def _remember(source: str, difference: Difference, moment: datetime) -> None:
    values = {"ours": difference.ours[:200], "theirs": difference.theirs[:200], "seen_at": moment}
    ReconciliationCase.objects.update_or_create(
        source=source, kind=difference.kind, subject=difference.subject[:80], resolved_at=None, defaults=values
    )


def _close_what_is_gone(source: str, began: datetime, subjects: list[str]) -> None:
    """Only of what this run has looked at: a payment that is too old to be compared stays a case."""
    gone = ReconciliationCase.objects.filter(source=source, resolved_at=None, seen_at__lt=began, subject__in=subjects)
    gone.update(resolved_at=now(), note=_("A later comparison no longer found it."))


def _compare_books() -> Iterator[Look]:
    for kind, problems in check_books().items():
        yield Look(kind, (Difference(kind, kind, "; ".join(problems), NOTHING),) if problems else ())


def _compare_payments(slug: str) -> Iterator[Look]:
    since, until = now() - WINDOW, now() - SETTLED_AFTER
    payments = Payment.objects.filter(service=slug, created_at__gt=since, created_at__lt=until).exclude(order_ref="")
    for payment in payments.order_by("-created_at")[:MOST]:
        yield _look(payment.public_id, _surely(_compare_payment, payment))
    refunds = Refund.objects.filter(service=slug, created_at__gt=since, status=RefundStatus.COMPLETED)
    refunds = refunds.exclude(service_ref="")
    for refund in refunds.order_by("-created_at")[:MOST]:
        yield _look(refund.public_id, _surely(_compare_refund, refund))
    yield from _compare_payouts(slug, since, until)
    yield from _compare_unknown(slug, since, until)
    for ref, ours, theirs in chargebacks.compare(slug, since, until):
        yield _look(ref, _compare_chargeback(ref, ours, theirs))
    _refuse_more_than_most(payments, refunds, _ended_payouts(slug, since, until))


def _refuse_more_than_most(*compared: QuerySet[Any]) -> None:
    """What is beyond the newest was not compared: such a run is not clean. Raises Conflict."""
    if any(rows.count() > MOST for rows in compared):
        message = _("Only the newest %(most)d of a kind were compared: there are more.") % {"most": MOST}
        raise Conflict(message, code="too_many")


def _surely(compare: Callable[[Row], Difference | None], row: Row) -> Difference | None:
    """A difference is one only when it is still there at a second look: ours may have moved while we asked."""
    if compare(row) is None:
        return None
    row.refresh_from_db()
    return compare(row)


def _compare_chargeback(ref: str, ours: Decimal | None, theirs: Decimal) -> Difference | None:
    """What has left our books for a dispute; nothing at all is for one that we have not heard of."""
    if ours == theirs:
        return None
    known = NOTHING if ours is None else f"{ours.normalize():f}"
    return Difference("chargeback", ref, known, f"{theirs.normalize():f}")


def _compare_unknown(slug: str, since: datetime, until: datetime) -> Iterator[Look]:
    """Money that the service took and for which there is no row here. PayPal's orders cannot be listed."""
    try:
        orders = listing(slug).orders_since(since, until=until)
    except KeyError:
        return
    cases = ReconciliationCase.objects.filter(source=slug, kind="unknown", resolved_at=None)
    waiting = set(cases.values_list("subject", flat=True))
    taken = (order for order in orders if _taken(order))
    while some := list(islice(taken, AT_ONCE)):
        refs = [order.ref for order in some]
        known = set(Payment.objects.filter(service=slug, order_ref__in=refs).values_list("order_ref", flat=True))
        for order in some:
            if order.ref not in known:
                theirs = f"{_sum(_taken(order), order.currency)} {order.reference}".rstrip()
                yield Look(order.ref, (Difference("unknown", order.ref, NOTHING, theirs),))
            elif order.ref in waiting:
                yield Look(order.ref)


def _look(subject: str, difference: Difference | None) -> Look:
    return Look(subject, (difference,) if difference else ())


def _compare_payment(payment: Payment) -> Difference | None:
    try:
        order = service(payment.service).fetch(payment.order_ref)
    except Gone:
        # An order that nobody approved is forgotten by the service after a while.
        missing = payment.status == PaymentStatus.CAPTURED
        return (
            Difference("missing", payment.public_id, _sum(payment.amount, payment.currency), NOTHING)
            if missing
            else None
        )
    theirs = _taken(order)
    ours = payment.amount if payment.status == PaymentStatus.CAPTURED else Decimal(0)
    if ours == theirs and order.currency == payment.currency:
        return _compare_gone_back(payment, order)
    kind = "not_booked" if not ours else "not_taken" if not theirs else "amount"
    return Difference(kind, payment.public_id, _sum(ours, payment.currency), _sum(theirs, order.currency))


def _compare_gone_back(payment: Payment, order: Order) -> Difference | None:
    """Money that went back at the service, of which nobody has told us."""
    gone = any(capture.status == "refunded" for capture in order.captures)
    if not gone or payment.refunded + payment.charged_back:
        return None
    ours = _sum(payment.amount, payment.currency)
    return Difference("refund_not_booked", payment.public_id, ours, f"{ours} refunded")


def _taken(order: Order) -> Decimal:
    """What the service took from the customer, before refunds."""
    captures = [capture for capture in order.captures if capture.status in {"completed", "refunded"}]
    return sum((capture.amount for capture in captures), Decimal(0))


def _compare_refund(refund: Refund) -> Difference | None:
    ours = _sum(refund.amount, refund.currency)
    try:
        remote = service(refund.service).fetch_refund(refund.service_ref)
    except Gone:
        return Difference("refund_missing", refund.public_id, ours, NOTHING)
    if (remote.amount, remote.currency, remote.status) == (refund.amount, refund.currency, "completed"):
        return None
    return Difference("refund", refund.public_id, ours, f"{_sum(remote.amount, remote.currency)} {remote.status}")


def _compare_payouts(slug: str, since: datetime, until: datetime) -> Iterator[Look]:
    for payout in _ended_payouts(slug, since, until).order_by("-created_at")[:MOST]:
        yield _look(payout.public_id, _surely(_compare_payout, payout))


def _ended_payouts(slug: str, since: datetime, until: datetime) -> QuerySet[Payout]:
    return Payout.objects.filter(kind=slug, created_at__gt=since, finished_at__lt=until).exclude(service_ref="")


def _compare_payout(payout: Payout) -> Difference | None:
    """What has left for its owner and did not come back."""
    left = payout.amount if payout.status in {PayoutStatus.PAID, PayoutStatus.RETURNED} else Decimal(0)
    ours = _sum(left - payout.returned, payout.currency)
    try:
        remote = payouts(payout.kind).fetch_payout(payout.service_ref)
    except Gone:
        return Difference("payout_missing", payout.public_id, ours, NOTHING)
    theirs = _sum(remote.amount - remote.returned if remote.state == "paid" else Decimal(0), remote.currency)
    return Difference("payout", payout.public_id, ours, theirs) if ours != theirs else None


def _compare_chain(chain: str) -> Iterator[Look]:
    """The treasury's tokens against what the books say they are: credited, or come in and not credited yet."""
    under_way = {WithdrawalStatus.SIGNED, WithdrawalStatus.SENT}
    if Withdrawal.objects.filter(chain=chain, status__in=under_way).exists():
        raise Conflict(_("A withdrawal is under way: compare again when it is final."), code="under_way")
    node, ours_there = nodes.main_node(chain), {nodes.treasury(), nodes.signer().address}
    theirs = sum((node.usdc_of(address) for address in ours_there), Decimal(0))
    booked = Account.objects.filter(kind=Account.Kind.CLEARING, label=f"{CHAIN}{chain}").aggregate(
        total=Sum(F("debits_posted") - F("credits_posted"))
    )["total"] or Decimal(0)
    waiting = Deposit.objects.filter(
        chain=chain, status__in=[DepositStatus.SEEN, DepositStatus.CONFIRMED, DepositStatus.UNMATCHED]
    ).aggregate(total=Sum("amount"))["total"] or Decimal(0)
    ours = booked + waiting
    difference = Difference("balance", "treasury", _sum(ours, "USDC"), _sum(theirs, "USDC"))
    yield _look("treasury", difference if ours != theirs else None)


def _sum(amount: Decimal, currency: str) -> str:
    return f"{amount.normalize():f} {currency}"
