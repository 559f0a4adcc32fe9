"""The money of disputes: set aside from the owner's earnings, given back or released, exact to the last unit.

What is given back is taken from the owner and from us as it was shared when it was paid: a refund of everything leaves
neither with anything of it.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from billing import ledger
from billing.accounts import Kind, account_of, platform_account, wallet_of
from billing.ledger import Leg, transfer_id
from billing.models import Account, Dispute, Transfer
from lib.clock import now
from lib.money import round_money

log = logging.getLogger(__name__)
ZERO = Decimal(0)
# Longer than any dispute. What is held is released then, should all else fail.
LONGEST_OPEN = timedelta(days=365)
TRIES = 5


def owners_part(dispute: Dispute, amount: Decimal) -> Decimal:
    """How much of a sum the owner had been given."""
    return min(round_money(dispute.earned * amount / dispute.paid), amount)


def set_aside(dispute: Dispute) -> Decimal:
    """Hold the owner's part of the disputed sum, or as much of it as is there. Returns how much."""
    earnings, wanted = _earnings(dispute), owners_part(dispute, dispute.amount)
    for _try in range(TRIES):  # a payout may take it between our look and our posting
        there = min(wanted, max(ZERO, ledger.available(earnings)))
        if not there:
            return ZERO
        try:
            ledger.hold(
                id=_id(dispute, "hold"),
                debit=earnings.pk,
                credit=wallet_of(dispute.renter, dispute.currency).pk,
                amount=there,
                currency=dispute.currency,
                source_type="dispute",
                source_id=str(dispute.pk),
                expires_at=now() + LONGEST_OPEN,
                memo=dispute.public_id,
            )
        except ledger.Overdraft:
            continue
        return there
    return ZERO


def settle(dispute: Dispute, refund: Decimal) -> Decimal:
    """Give the renter what was decided and the owner what is left of the hold, in one call of the ledger.

    What of the owner's part was not there when it was set aside is taken from earnings that have come since, as far as
    they go. Returns what the renter got.
    """
    theirs = owners_part(dispute, refund)
    hold = Transfer.objects.filter(pk=_id(dispute, "hold"), settlements=None).first()
    captured = min(theirs, hold.amount) if hold else ZERO
    fixed = [ledger.settling_leg(hold, captured, id=_id(dispute, "capture"))] if hold else []
    if refund > theirs:
        revenue = platform_account(Kind.REVENUE, dispute.currency, _id(dispute, "platform"))
        fixed.append(_leg(dispute, "platform", revenue, refund - theirs))
    for attempt in range(TRIES):
        missing = theirs - captured
        there = ZERO if attempt == TRIES - 1 else min(missing, max(ZERO, ledger.available(_earnings(dispute))))
        try:
            ledger.post([*fixed, *([_leg(dispute, "owner", _earnings(dispute), there)] if there else [])])
        except ledger.Overdraft:
            continue
        if there < missing:
            log.error("dispute %s: the owner lacks %s of the refund", dispute.public_id, missing - there)
        return refund - missing + there
    raise AssertionError("the last try takes only what is held")


def _earnings(dispute: Dispute) -> Account:
    return account_of(dispute.owner, Kind.EARNINGS, dispute.currency)


def _leg(dispute: Dispute, step: str, debit: Account, amount: Decimal) -> Leg:
    return Leg(
        id=_id(dispute, step),
        debit=debit.pk,
        credit=wallet_of(dispute.renter, dispute.currency).pk,
        amount=amount,
        currency=dispute.currency,
        source_type="dispute",
        source_id=str(dispute.pk),
        memo=dispute.public_id,
    )


def _id(dispute: Dispute, step: str) -> UUID:
    return transfer_id("dispute", dispute.pk, step)
