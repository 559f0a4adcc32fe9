"""Payouts as people ask for them, and as the week does: limits, the hold, earnings into the wallet.

`billing.payouts.sending` takes over what is due.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet, Sum
from django.utils.translation import gettext as _

from accounts import actor as actors
from accounts import audit
from accounts.actor import Actor
from accounts.models import Organisation
from billing import ledger, owed
from billing.accounts import Kind, account_of, wallet_of
from billing.chain.withdrawals import LARGEST as LARGEST_USDC
from billing.ledger import Leg, transfer_id
from billing.lifecycle import PayoutStatus
from billing.models import Payout, PayoutMethod, Transfer
from billing.payouts import books, methods, payees
from billing.payouts.earnings import CURRENCY, accounts, earnings_of
from lib.clock import now
from lib.errors import Conflict, Invalid, NotFound
from lib.money import parse_amount

log = logging.getLogger(__name__)
SMALLEST = Decimal(10)
WEEK = timedelta(days=7)
PAY_DAY, PAY_HOUR = 0, 6  # Monday, UTC
WINDOW = timedelta(hours=24)  # in which a week's payouts are begun, should nobody be at work at six
NOT_PAID = (PayoutStatus.FAILED, PayoutStatus.CANCELLED)
MOVE_SOURCE = "earnings_to_wallet"


def payouts_of(organisation: Organisation) -> QuerySet[Payout]:
    """The newest first."""
    return Payout.objects.filter(organisation=organisation).select_related("method").order_by("-pk")


def request_payout(
    *, organisation: Organisation, amount: Decimal | str | None, method: PayoutMethod | None, actor: Actor, key: str
) -> Payout:
    """Set the sum aside (without one: all that is available) for a method (without one: the default).

    The same key gives the same payout. Raises Invalid beside the field, Conflict for a payee of whom something is
    missing, without a method, and for a key that was used for something else.
    """
    with transaction.atomic():
        # One at a time for each organisation: what is available, and the key, are looked at and used up together.
        organisation = Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
        asked = None if amount is None else parse_amount(amount, currency=CURRENCY)
        same = Payout.objects.filter(organisation=organisation, idempotency_key=key).first()
        if same is not None:
            if asked not in {None, same.amount} or method not in {None, same.method}:
                raise Conflict(_("This key was used for another request."), code="idempotency_conflict")
            return same
        wanted = method or methods.default_of(organisation)
        payees.require_complete(organisation, wanted.kind if wanted else "")
        method = _check_method(organisation, method)
        largest = LARGEST_USDC if method.kind == PayoutMethod.Kind.USDC else None
        sum_ = _check_available(organisation, asked, smallest=SMALLEST, largest=largest)
        return _make(organisation, method, sum_, actor, key)


@transaction.atomic
def move_to_wallet(*, organisation: Organisation, amount: Decimal | str | None, actor: Actor, key: str) -> Decimal:
    """Earnings into the organisation's own wallet, at once and for nothing; what it owes is settled first. The same key
    moves them once."""
    organisation = Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
    asked = None if amount is None else parse_amount(amount, currency=CURRENCY)
    id = transfer_id(MOVE_SOURCE, organisation.pk, key)
    done = Transfer.objects.filter(pk=id).first()
    if done is not None:
        if asked not in {None, done.amount}:
            raise Conflict(_("This key was used for another request."), code="idempotency_conflict")
        return done.amount
    held = payees.profile_of(organisation).hold_reason
    if held:
        raise Conflict(_("Our staff hold your payouts: %(reason)s") % {"reason": held}, code="held")
    sum_ = _check_available(organisation, asked, smallest=Decimal("0.01"))
    source = account_of(organisation, Kind.EARNINGS, CURRENCY)
    target = wallet_of(organisation, CURRENCY)
    ledger.post([Leg(id, source.pk, target.pk, sum_, CURRENCY, MOVE_SOURCE, str(organisation.pk))])
    owed.settle(organisation, CURRENCY, sum_, cause=id)
    audit.record(organisation.pk, actor, "earnings.move", organisation, {"amount": str(sum_)})
    return sum_


def pay_out_weekly() -> int:
    """Begin the week's payouts, each organisation's once. Returns how many were begun.

    What lies in the way of one (no method, too little, something missing of the payee) waits for the next week.
    """
    began = last_pay_day()
    if now() >= began + WINDOW:
        return 0
    key = f"week-{began:%G-W%V}"
    # What is held back is looked at one by one, under the organisation's lock.
    enough = accounts().filter(credits_posted__gte=SMALLEST + F("debits_posted") + F("debits_pending"))
    due = Organisation.objects.filter(
        pk__in=enough.values("organisation"), archived_at=None, payee_profile__pays_weekly=True
    ).exclude(pk__in=Payout.objects.filter(idempotency_key=key).values("organisation"))
    return sum(_pay_weekly(organisation, key) for organisation in due.iterator())


def last_pay_day() -> datetime:
    """The newest Monday, six o'clock UTC, that has come."""
    moment = now()
    monday = (moment - timedelta(days=(moment.weekday() - PAY_DAY) % 7)).replace(
        hour=PAY_HOUR, minute=0, second=0, microsecond=0
    )
    return monday if monday <= moment else monday - WEEK


def _pay_weekly(organisation: Organisation, key: str) -> bool:
    worker = actors.worker("payouts.weekly")
    try:
        request_payout(organisation=organisation, amount=None, method=None, actor=worker, key=key)
    except (Invalid, Conflict, NotFound, ledger.Overdraft) as refusal:
        log.info("no weekly payout for %s: %s", organisation.public_id, refusal.code)
        return False
    return True


def _check_available(
    organisation: Organisation, asked: Decimal | None, *, smallest: Decimal, largest: Decimal | None = None
) -> Decimal:
    """Of more than `largest` at a time the rest waits for the next payout."""
    available = earnings_of(organisation).available
    if largest is not None:
        available = min(available, largest)
    sum_ = available if asked is None else asked
    if sum_ < smallest:
        message = _("At least %(smallest)s at a time; you have %(available)s available.")
    elif sum_ > available:
        message = _("You have %(available)s available.")
    else:
        return sum_
    message %= {"smallest": f"{smallest:.2f} {CURRENCY}", "available": f"{available:.2f} {CURRENCY}"}
    raise Invalid(message, code="amount_out_of_range", fields={"amount": [message]})


def _check_method(organisation: Organisation, asked: PayoutMethod | None) -> PayoutMethod:
    """As it is now, under the organisation's lock: it may be removed at this moment."""
    own = methods.methods_of(organisation)
    method = own.filter(pk=asked.pk).first() if asked else methods.default_of(organisation)
    if method is None:
        message = _("Say first where you want to be paid.")
        raise Conflict(message, code="no_method", fields={"method": [message]})
    if not method.is_ready:
        message = _("This method is not ready: finish its set-up first.")
        raise Conflict(message, code="method_not_ready", fields={"method": [message]})
    return method


def _make(organisation: Organisation, method: PayoutMethod, amount: Decimal, actor: Actor, key: str) -> Payout:
    recent = Payout.objects.filter(organisation=organisation, created_at__gt=now() - WEEK, approved_at=None)
    # A large sum in small pieces is a large sum.
    unseen = recent.exclude(status__in=NOT_PAID).aggregate(total=Sum("amount"))["total"] or Decimal(0)
    payout = Payout.objects.create(
        organisation=organisation,
        method=method,
        kind=method.kind,
        amount=amount,
        currency=CURRENCY,
        not_before=max(now(), method.payable_from),
        needs_approval=unseen + amount > settings.PAYOUT_APPROVAL_ABOVE,
        requested_by=actor.user,
        idempotency_key=key,
    )
    books.hold(payout)
    audit.record(organisation.pk, actor, "payout.request", payout, {"amount": str(amount), "kind": method.kind})
    payout.refresh_from_db()
    return payout
