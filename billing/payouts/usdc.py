"""Earnings paid in USDC: our dollars become USDC of the owner one for one, which an ordinary withdrawal sends.

The dollars stay held among the earnings until the withdrawal is final. A withdrawal that was called off or has failed
gives its USDC to the owner's wallet: from there we take it back, unless the owner has used it, and then was paid.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Case, CharField, F, OuterRef, Q, Subquery, Sum, When
from django.db.models.functions import Cast, Coalesce

from accounts import actor as actors
from accounts.models import Organisation
from billing import ledger
from billing.accounts import Kind, account_of, wallet_of
from billing.chain.books import CURRENCY
from billing.chain.links import wallets_of
from billing.chain.networks import network_of
from billing.chain.withdrawals import request_withdrawal
from billing.ledger import MOVING, Leg, transfer_id
from billing.lifecycle import PayoutStatus, WithdrawalStatus
from billing.models import Account, Payout, Transfer, Withdrawal
from billing.payments.base import Gone, NewPayout, PayoutState, Refused, RemotePayout, ServiceDown
from billing.payouts import books
from billing.payouts.deciding import lock
from billing.payouts.earnings import CURRENCY as DOLLARS
from billing.payouts.earnings import MONEY, ZERO
from lib.errors import Conflict, Invalid
from lib.ids import decode_id

SOURCE = "payout_usdc"
KEPT = "kept_in_wallet"
STATES: dict[str, PayoutState] = {
    WithdrawalStatus.DONE: "paid",
    WithdrawalStatus.FAILED: "failed",
    WithdrawalStatus.CANCELLED: "failed",
}


class UsdcPayouts:
    """A `PayoutService`. It calls nobody: the chain's own worker sends what it queues."""

    def send_payout(self, payout: NewPayout) -> RemotePayout:
        """In one transaction, so that USDC are given only for a withdrawal that is queued, and once.

        Raises Refused; ServiceDown while the day's limit is used up, and when another worker has ended the payout.
        """
        row = Payout.objects.select_related("organisation").get(pk=decode_id("pyo", payout.reference))
        chain, _sign, address = payout.destination.partition(":")
        try:
            with transaction.atomic():
                _lock_sent(row)
                if not wallets_of(row.organisation).filter(address=address).exists():
                    raise Refused("wallet_unlinked")
                ledger.post([_leg(row, "give")])
                withdrawal = request_withdrawal(
                    organisation=row.organisation,
                    network=network_of(chain),
                    address=address,
                    amount=payout.amount,
                    actor=actors.worker("payouts"),
                    key=payout.reference,
                )
        except (Invalid, Conflict) as refusal:
            if refusal.code == "daily_limit":
                raise ServiceDown("the day's limit of withdrawals is used up") from refusal
            raise Refused(refusal.code) from None
        return _read(withdrawal)

    def fetch_payout(self, ref: str) -> RemotePayout:
        withdrawal = Withdrawal.objects.filter(pk=decode_id("wdr", ref)).first()
        if withdrawal is None:
            raise Gone(ref)
        return _read(withdrawal)


def check() -> list[str]:
    """Whether each payout has brought as many dollars as USDC were given for it (one that is sent gives its USDC
    first), and nothing else went through the conversion."""
    rows = Payout.objects.filter(kind=books.USDC).annotate(dollars=_moved(DOLLARS), coins=-_moved(CURRENCY))
    paid = Q(status=PayoutStatus.PAID, dollars=F("amount"), coins=F("amount"))
    sent = Q(status=PayoutStatus.SENT, dollars=0) & (Q(coins=F("amount")) | Q(coins=0, service_ref=""))
    ended = ~Q(status__in=[PayoutStatus.PAID, PayoutStatus.SENT]) & Q(dollars=0, coins=0)
    problems = [
        f"payout {row.public_id} of {row.amount:f} is {row.status}: {row.dollars:f} USD came, {row.coins:f} USDC went"
        for row in rows.exclude(paid | sent | ended).order_by("pk")
    ]
    said = rows.aggregate(**{DOLLARS: Sum("dollars", default=ZERO), CURRENCY: -Sum("coins", default=ZERO)})
    booked = Account.objects.filter(kind=Kind.CONVERSION).values_list("currency")
    for currency, total in booked.annotate(total=Sum(F("credits_posted") - F("debits_posted"))):
        if total != said[currency]:
            problems.append(f"conversion {currency}: payouts say {said[currency]}, the ledger {total}")
    return problems


def _moved(currency: str) -> Any:
    """What a payout has brought into the conversion account of this currency, less what it took out."""
    signed = Case(
        When(credit_account__kind=Kind.CONVERSION, then=F("amount")),
        When(debit_account__kind=Kind.CONVERSION, then=-F("amount")),
        default=ZERO,
        output_field=MONEY,
    )
    moves = Transfer.objects.filter(
        source_type__in=[books.SOURCE, books.RETURN_SOURCE, SOURCE],
        source_id=Cast(OuterRef("pk"), CharField()),
        currency=currency,
        state__in=MOVING,
    )
    total = moves.values("source_id").annotate(total=Sum(signed)).values("total")
    return Coalesce(Subquery(total, output_field=MONEY), Decimal(0), output_field=MONEY)


def _lock_sent(payout: Payout) -> None:
    """The organisation first, as everywhere: what gives it money, or takes it, waits for its turn."""
    Organisation.objects.select_for_update(no_key=True).get(pk=payout.organisation_id)
    if lock(payout).status != PayoutStatus.SENT:
        raise ServiceDown("another worker has ended this payout")


def take_back(payout: Payout) -> bool:
    """In the caller's transaction: the USDC of a withdrawal that did not leave. False when the owner has used them."""
    if not Transfer.objects.filter(pk=_id(payout, "give")).exists():
        return True  # refused before any were given
    try:
        ledger.post([_leg(payout, "take")])
    except ledger.Overdraft:
        return False
    return True


def _leg(payout: Payout, step: str) -> Leg:
    ours = account_of(None, Kind.CONVERSION, CURRENCY).pk
    theirs = wallet_of(payout.organisation, CURRENCY).pk
    debit, credit = (ours, theirs) if step == "give" else (theirs, ours)
    return Leg(_id(payout, step), debit, credit, payout.amount, CURRENCY, SOURCE, str(payout.pk), payout.public_id)


def _id(payout: Payout, step: str) -> UUID:
    return transfer_id(SOURCE, payout.pk, step)


def _read(withdrawal: Withdrawal) -> RemotePayout:
    return RemotePayout(
        ref=withdrawal.public_id,
        reference=withdrawal.idempotency_key,
        state=STATES.get(withdrawal.status, "pending"),
        amount=withdrawal.amount,
        currency="USD",  # one for one
        reason=withdrawal.reason,
    )
