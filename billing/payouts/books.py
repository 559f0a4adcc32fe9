"""Payouts in the ledger. The hold on the earnings is captured when the money has left and released when it will not.

What has left is owed by us no more, and by the way of payment less: its clearing account. For USDC it is the account
`conversion`, through which dollars become USDC one for one.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import F, Sum

from billing import ledger
from billing.accounts import Kind, account_of
from billing.ledger import Leg, transfer_id
from billing.models import Account, Payout, PayoutMethod
from billing.states import PayoutStatus
from lib.clock import now

SOURCE, RETURN_SOURCE = "payout", "payout_return"
# A payout ends its hold itself: one that the sweep released while the money was on its way would be paid twice.
HOLD_LIFE = timedelta(days=3650)
USDC = PayoutMethod.Kind.USDC
LEFT = (PayoutStatus.PAID, PayoutStatus.RETURNED)


def hold(payout: Payout) -> None:
    """Set the sum aside, in the caller's transaction. Raises Overdraft."""
    ledger.hold(
        id=hold_id(payout),
        debit=_earnings(payout).pk,
        credit=_way(payout).pk,
        amount=payout.amount,
        currency=payout.currency,
        source_type=SOURCE,
        source_id=str(payout.pk),
        expires_at=now() + HOLD_LIFE,
        memo=payout.public_id,
    )


def settle(payout: Payout, *, paid: bool) -> None:
    """It has left, or never will."""
    end = transfer_id(SOURCE, payout.pk, "end")
    if paid:
        ledger.capture(hold_id(payout), payout.amount, id=end)
    else:
        ledger.release(hold_id(payout), id=end)


def take_back(payout: Payout, so_far: Decimal) -> None:
    """What has left has come back, `so_far` of it in all."""
    leg = Leg(
        id=transfer_id(SOURCE, payout.pk, "returned", f"{so_far:.6f}"),
        debit=_way(payout).pk,
        credit=_earnings(payout).pk,
        amount=so_far - payout.returned,
        currency=payout.currency,
        source_type=RETURN_SOURCE,
        source_id=str(payout.pk),
        memo=payout.public_id,
    )
    ledger.post([leg])


def hold_id(payout: Payout) -> UUID:
    return transfer_id(SOURCE, payout.pk, "hold")


def expected_clearing() -> dict[tuple[str, str], Decimal]:
    """What payouts say has left each clearing account: by label and currency."""
    left = Payout.objects.filter(status__in=LEFT).exclude(kind=USDC).values("kind", "currency")
    rows = left.annotate(total=Sum(F("amount") - F("returned")))
    return {(row["kind"], row["currency"]): -row["total"] for row in rows}


def _earnings(payout: Payout) -> Account:
    return account_of(payout.organisation, Kind.EARNINGS, payout.currency)


def _way(payout: Payout) -> Account:
    if payout.kind == USDC:
        return account_of(None, Kind.CONVERSION, payout.currency)
    return account_of(None, Kind.CLEARING, payout.currency, label=payout.kind)
