"""Paying for what runs: money for the next minutes is held ahead, and each settlement takes what was used.

    reserve → settle → settle → … → settle(keep_open=None)

Each settlement captures from the open hold and opens the next one in the same call of the ledger, so that a running pod
is covered at every moment. When the balance no longer covers a full reserve, the hold is as large as what is left and
`short` says so: warn. When nothing is left, `exhausted` says so: stop.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import Sum

from accounts.models import Organisation
from billing import ledger, lots
from billing.accounts import Kind, account_of, platform_account, wallet_of
from billing.ledger import Leg, transfer_id
from billing.models import Account, Transfer
from lib.clock import now
from lib.money import round_money

RESERVE = timedelta(minutes=15)
# Longer than any outage of the metering that we expect; a hold that nobody settles is released then.
HOLD_LIFE = timedelta(hours=6)
OPERATOR_SHARE = Decimal("0.85")
OWN_NODES = "catalyst"
HOLD_SOURCE = "usage_hold"
ZERO = Decimal(0)
SMALLEST = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class NextHold:
    """The reserve to open at a settlement, usually `reserve_amount(price)`. The id is the caller's, new each time."""

    hold_id: UUID
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Settled:
    """`charged` is less than was asked only when the balance was not enough. `hold_id` is the hold that is open now."""

    charged: Decimal
    hold_id: UUID | None
    held: Decimal
    short: bool = False  # less than a full reserve is left: warn
    exhausted: bool = False  # nothing is left: stop


def reserve_amount(price_per_hour: Decimal) -> Decimal:
    """What a pod of this price holds: the cost of the next `RESERVE`."""
    return max(SMALLEST, round_money(price_per_hour * RESERVE.seconds / 3600))


@transaction.atomic
def reserve(
    organisation: Organisation, *, payer: str, currency: str, amount: Decimal, source_id: str | UUID, hold_id: UUID
) -> None:
    """Hold the first minutes' cost. With the payer `own_key` nothing is ours to hold. Raises Overdraft (402)."""
    if payer == "own_key":
        return
    ledger.post([_hold_leg(wallet_of(organisation, currency).pk, currency, NextHold(hold_id, amount), str(source_id))])


@transaction.atomic
def release(hold_id: UUID) -> None:
    """Give a hold back without a charge: what it was for never ran. Safe to repeat, and after an expiry."""
    try:
        ledger.release(hold_id, id=transfer_id("usage", hold_id, "release"))
    except ledger.HoldSettled:
        return


@transaction.atomic
def settle(
    hold_id: UUID | None,
    *,
    organisation: Organisation,
    currency: str,
    usage_id: UUID,
    amount: Decimal,
    operator: Organisation | None,
    provider_slug: str,
    keep_open: NextHold | None,
    memo: str = "",
) -> Settled:
    """Charge `amount` for one usage row and open the next hold (`keep_open`; None: this was the last one).

    Works without a hold too (`hold_id=None`, or one that expired). Settling the same usage again answers the same.
    """
    wallet = wallet_of(organisation, currency)
    if (before := _settled_before(wallet, usage_id, keep_open)) is not None:
        return before
    held = _open_hold(hold_id)
    due = _Due(wallet, held, usage_id, amount, operator, provider_slug, memo or (held.memo if held else ""))
    if currency != lots.CURRENCY:
        return _post(due, keep_open)
    lots.lock(organisation)
    settled = _post(due, keep_open)
    lots.spend(organisation, settled.charged)
    return settled


def _post(due: _Due, keep_open: NextHold | None) -> Settled:
    try:
        ledger.post(due.legs(keep_open))
    except ledger.Overdraft as refusal:
        if refusal.account_id != due.wallet.pk:
            raise
        return _settle_what_is_left(due, keep_open)
    return _answer(due.amount, due.amount, keep_open, keep_open)


def can_go_on(organisation: Organisation, currency: str, amount: Decimal = SMALLEST) -> bool:
    """Whether the organisation could hold `amount` more now."""
    return ledger.available(wallet_of(organisation, currency)) >= amount


@dataclass(frozen=True, slots=True)
class _Due:
    wallet: Account
    held: Transfer | None
    usage_id: UUID
    amount: Decimal
    operator: Organisation | None
    provider_slug: str
    memo: str

    def legs(self, keep_open: NextHold | None) -> list[Leg]:
        legs = [self._leg(name, account, amount) for name, account, amount in self._shares() if amount]
        if self.held is not None:
            legs = self._from_hold(self.held, legs)
        if keep_open is not None and keep_open.amount:
            source_id = self.held.source_id if self.held else str(self.usage_id)
            legs.append(_hold_leg(self.wallet.pk, self.wallet.currency, keep_open, source_id, self.memo))
        return legs

    def _shares(self) -> list[tuple[str, UUID, Decimal]]:
        """Who gets it: the operator of the node 85 % and we the rest; the provider all that its machine costs."""
        currency = self.wallet.currency
        if currency != "CREDIT" and self.provider_slug != OWN_NODES:
            id = transfer_id("usage", self.usage_id, "provider")
            owed = platform_account(Kind.PROVIDER_COST, currency, id, label=self.provider_slug)
            return [("provider", owed.pk, self.amount)]
        share = ZERO
        shares = []
        if currency != "CREDIT" and self.operator is not None:
            share = round_money(self.amount * OPERATOR_SHARE)
            shares.append(("operator", account_of(self.operator, Kind.EARNINGS, currency).pk, share))
        return [*shares, ("platform", self._revenue(), self.amount - share)]

    def _revenue(self) -> UUID:
        if self.held is not None:
            return self.held.credit_account_id
        id = transfer_id("usage", self.usage_id, "platform")
        return platform_account(Kind.REVENUE, self.wallet.currency, id).pk

    def _leg(self, name: str, account: UUID, amount: Decimal) -> Leg:
        id = transfer_id("usage", self.usage_id, name)
        return Leg(id, self.wallet.pk, account, amount, self.wallet.currency, *self._source, self.memo)

    def _from_hold(self, held: Transfer, legs: list[Leg]) -> list[Leg]:
        """Our own share is captured from the hold as far as it goes; all the rest of it is released for the others."""
        ours = next((leg for leg in legs if leg.credit == held.credit_account_id), None)
        captured = min(ours.amount, held.amount) if ours else ZERO
        id = ours.id if ours and captured else transfer_id("usage", self.usage_id, "release")
        settling = ledger.settling_leg(held, captured, id=id, source=self._source, memo=self.memo)
        others = [leg for leg in legs if leg is not ours]
        if ours and ours.amount > captured:
            others.append(
                replace(ours, id=transfer_id("usage", self.usage_id, "beyond"), amount=ours.amount - captured)
            )
        return [settling, *others]

    @property
    def _source(self) -> tuple[str, str]:
        return ("usage", str(self.usage_id))


def _settle_what_is_left(due: _Due, keep_open: NextHold | None) -> Settled:
    """The wallet's row is locked since the refusal, so that what we read of it stays true."""
    left = ledger.available(due.wallet) + (due.held.amount if due.held else ZERO)
    charged = min(due.amount, left)
    smaller = None
    if keep_open is not None and left > charged:
        smaller = NextHold(keep_open.hold_id, min(keep_open.amount, left - charged))
    ledger.post(replace(due, amount=charged).legs(smaller))
    return _answer(due.amount, charged, keep_open, smaller)


def _answer(asked: Decimal, charged: Decimal, wanted: NextHold | None, opened: NextHold | None) -> Settled:
    held = opened.amount if opened else ZERO
    short = wanted is not None and held < wanted.amount
    exhausted = charged < asked or (wanted is not None and held == 0)
    return Settled(charged, opened.hold_id if opened else None, held, short, exhausted)


def _settled_before(wallet: Account, usage_id: UUID, keep_open: NextHold | None) -> Settled | None:
    stored = Transfer.objects.filter(source_type="usage", source_id=str(usage_id), debit_account=wallet)
    if not stored.exists():
        return None
    charged = stored.aggregate(total=Sum("amount"))["total"]
    held = keep_open and Transfer.objects.filter(pk=keep_open.hold_id).first()
    opened = NextHold(held.pk, held.amount) if held else None
    return _answer(charged, charged, keep_open, opened)


def _open_hold(hold_id: UUID | None) -> Transfer | None:
    if hold_id is None:
        return None
    held = ledger.find_hold(hold_id)
    return None if held.settlements.exists() else held


def _hold_leg(wallet: UUID, currency: str, next_hold: NextHold, source_id: str, memo: str = "") -> Leg:
    revenue = platform_account(Kind.REVENUE, currency, next_hold.hold_id)
    return Leg(
        id=next_hold.hold_id,
        debit=wallet,
        credit=revenue.pk,
        amount=next_hold.amount,
        currency=currency,
        source_type=HOLD_SOURCE,
        source_id=source_id,
        memo=memo,
        state=Transfer.State.PENDING,
        expires_at=now() + HOLD_LIFE,
    )
