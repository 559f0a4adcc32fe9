"""Lots of compute credits: those that expire first are spent first.

The ledger has one account of credits for each organisation; lots say which of them expire when. Whatever moves credits
changes both in one transaction, and locks the lots before the ledger locks the account.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet, Sum
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Organisation
from accounts.roles import Permission
from billing import ledger
from billing.accounts import Kind, platform_account, wallet_of
from billing.ledger import LedgerError, Leg, transfer_id
from billing.models import Account, CreditLot, Transfer
from lib.clock import now
from lib.errors import Conflict, Invalid
from notifications.inbox import notify

Source = CreditLot.Source
# To try the product with, not to be collected: they stay with whom they were given to.
GIFTS = (Source.SIGN_UP, Source.EARNED)
CURRENCY = "CREDIT"
ZERO = Decimal(0)
WARN_BEFORE = timedelta(days=7)
BATCH = 200


@dataclass(frozen=True, slots=True)
class Grant:
    """Credits to issue. The same id gives the same lot, however often it is granted."""

    organisation: Organisation
    amount: Decimal
    id: UUID
    source: str
    expires_at: datetime | None = None


def grant(
    organisation: Organisation, amount: Decimal, *, id: UUID, source: str, expires_at: datetime | None = None
) -> CreditLot:
    return grant_all([Grant(organisation, amount, id, source, expires_at)])[0]


@transaction.atomic
def grant_all(grants: Sequence[Grant]) -> list[CreditLot]:
    """Issue credits to several at once: one call of the ledger, which locks all their accounts in one order."""
    ledger.post([_issue(granted) for granted in grants])
    return [_lot_of(granted) for granted in grants]


def _issue(granted: Grant) -> Leg:
    issue = platform_account(Kind.CREDIT_ISSUE, CURRENCY, granted.id)
    wallet = wallet_of(granted.organisation, CURRENCY)
    cause = (f"credits_{granted.source}", str(granted.organisation.pk))
    return _leg(granted.id, issue, wallet, granted.amount, *cause)


def _lot_of(granted: Grant) -> CreditLot:
    lot, _made = CreditLot.objects.get_or_create(
        id=granted.id,
        defaults={
            "organisation": granted.organisation,
            "source": granted.source,
            "amount": granted.amount,
            "left": granted.amount,
            "expires_at": granted.expires_at,
        },
    )
    return lot


def open_lots(organisation: Organisation) -> QuerySet[CreditLot]:
    """With something left, in the order in which they are spent."""
    return CreditLot.objects.filter(organisation=organisation, left__gt=0).order_by(
        F("expires_at").asc(nulls_last=True), "created_at", "pk"
    )


def lock(organisation: Organisation) -> list[CreditLot]:
    """The open lots, held until the caller's transaction ends. To be called before the ledger locks the account."""
    return list(open_lots(organisation).select_for_update(no_key=True))


@dataclass(frozen=True, slots=True)
class Part:
    lot: CreditLot
    amount: Decimal


def spend(organisation: Organisation, amount: Decimal) -> None:
    """Take what the ledger has just posted out of the lots, those first that expire first."""
    _take(lock(organisation), amount)


def _take(lots: Iterable[CreditLot], amount: Decimal) -> list[Part]:
    parts = []
    for lot in lots:
        if not amount:
            break
        part = min(lot.left, amount)
        amount -= part
        lot.left -= part
        lot.save(update_fields=["left"])
        parts.append(Part(lot, part))
    if amount:
        raise LedgerError(f"{amount} credits more were posted than the lots hold")
    return parts


@transaction.atomic
def transfer(sender: Organisation, receiver: Organisation, amount: Decimal, *, id: UUID) -> bool:
    """Hand credits on; they keep their time of expiry. The same id moves them once: False when that was done before.

    Raises Conflict for credits that were a gift (they are there to try the product with, not to be collected), and for
    an id that was used for another transfer.
    """
    if sender == receiver:
        message = _("This is your own organisation.")
        raise Invalid(message, fields={"to": [message]})
    lots = lock(sender)
    if (done := Transfer.objects.filter(pk=id).first()) is not None:
        if (done.credit_account_id, done.amount) != (wallet_of(receiver, CURRENCY).pk, amount):
            raise Conflict(_("This key was used for another request."), code="idempotency_conflict")
        return False
    movable = [lot for lot in lots if lot.source not in GIFTS and not _expired(lot)]
    if sum(lot.left for lot in movable) < amount:
        message = _("You cannot transfer that many credits: those for signing up and for referrals stay with you.")
        raise Conflict(message, code="not_movable")
    source, target = wallet_of(sender, CURRENCY), wallet_of(receiver, CURRENCY)
    ledger.post([_leg(id, source, target, amount, "credits_transfer", str(receiver.pk))])
    CreditLot.objects.bulk_create(
        CreditLot(
            id=transfer_id("lot", id, number),
            organisation=receiver,
            source=Source.TRANSFER,
            amount=part.amount,
            left=part.amount,
            expires_at=part.lot.expires_at,
        )
        for number, part in enumerate(_take(movable, amount))
    )
    return True


def expire_due() -> int:
    """Take back what has expired, as far as it is not held for what runs now. Returns how many lots gave something."""
    due = CreditLot.objects.filter(left__gt=0, expires_at__lte=now()).values_list("organisation", flat=True)
    organisations = Organisation.objects.filter(pk__in=due.distinct()[:BATCH])
    return sum(_expire(organisation) for organisation in organisations)


@transaction.atomic
def _expire(organisation: Organisation) -> int:
    lots = [lot for lot in lock(organisation) if _expired(lot)]
    wallet = wallet_of(organisation, CURRENCY)
    given = 0
    for lot in lots:
        amount = min(lot.left, ledger.available(wallet))
        if amount <= 0:
            break
        id = transfer_id("credit_expiry", lot.pk, lot.left)
        try:
            issue = platform_account(Kind.CREDIT_ISSUE, CURRENCY, id)
            ledger.post([_leg(id, wallet, issue, amount, "credits_expiry", str(lot.pk))])
        except ledger.Overdraft:
            break  # a pod has just set it aside
        _take([lot], amount)
        given += 1
    return given


def warn_of_expiry() -> int:
    """Tell people once of credits that expire soon."""
    moment = now()
    soon = CreditLot.objects.filter(
        left__gt=0, warned_at=None, expires_at__gt=moment, expires_at__lte=moment + WARN_BEFORE
    )
    return sum(_warn(lot) for lot in soon.select_related("organisation")[:BATCH])


@transaction.atomic
def _warn(lot: CreditLot) -> bool:
    if not CreditLot.objects.filter(pk=lot.pk, warned_at=None).update(warned_at=now()):
        return False
    assert lot.expires_at is not None
    notify(
        lot.organisation,
        kind="credits.expire",
        title=gettext_lazy("Some of your compute credits expire soon"),
        body=f"{lot.left.normalize():f} · {timezone.localtime(lot.expires_at):%Y-%m-%d}",
        url=reverse("billing:credits"),
        permission=Permission.SEE_BILLING,
    )
    return True


def check() -> list[str]:
    """Organisations whose lots do not sum to what the ledger says, one line each."""
    lots = dict(CreditLot.objects.filter(left__gt=0).values_list("organisation").annotate(total=Sum("left")).order_by())
    posted = {
        account.organisation_id: account.credits_posted - account.debits_posted
        for account in Account.objects.filter(kind=Kind.CREDITS)
    }
    return [
        f"credits of {pk}: lots say {lots.get(pk, ZERO)}, the ledger {posted.get(pk, ZERO)}"
        for pk in sorted(lots.keys() | posted.keys(), key=str)
        if lots.get(pk, ZERO) != posted.get(pk, ZERO)
    ]


def _expired(lot: CreditLot) -> bool:
    return lot.expires_at is not None and lot.expires_at <= now()


def _leg(id: UUID, debit: Account, credit: Account, amount: Decimal, source_type: str, source_id: str) -> Leg:
    return Leg(id, debit.pk, credit.pk, amount, CURRENCY, source_type, source_id)
