"""USDC in the ledger: what the chain owes us is the clearing account `usdc:<chain>`."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import Sum

from accounts.models import Organisation
from billing import ledger, owed
from billing.accounts import Kind, account_of, wallet_of
from billing.ledger import Leg, Overdraft, transfer_id
from billing.lifecycle import DepositStatus, WithdrawalStatus, switch_deposit
from billing.models import Account, Deposit, Withdrawal
from lib.clock import now

CURRENCY = "USDC"
ZERO = Decimal(0)
# A withdrawal ends its hold itself: one that the minute's sweep released while the money was on its way would be paid
# twice. The ledger wants a time, and this one is past any withdrawal's life.
HOLD_LIFE = timedelta(days=3650)


def clearing(chain: str) -> Account:
    return account_of(None, Kind.CLEARING, CURRENCY, label=f"usdc:{chain}")


def credit(deposit: Deposit, *, reason: str = "") -> None:
    """In the caller's transaction, which holds the deposit's row: the organisation's wallet gets the sum, what it owes
    is settled first."""
    organisation = _lock(deposit)
    ledger.post([_credit(deposit, organisation)])
    owed.settle(organisation, CURRENCY, deposit.amount, cause=_deposit_id(deposit))
    switch_deposit(deposit, DepositStatus.CREDITED, reason=reason, credited_at=now())


def take_back(deposit: Deposit) -> Decimal:
    """Reverse a credit, in the caller's transaction, which holds the deposit's row.

    What the wallet no longer has is booked as owed by the organisation; that sum is returned.
    """
    organisation = _lock(deposit)
    while True:
        from_wallet = min(deposit.amount, max(ZERO, ledger.available(wallet_of(organisation, CURRENCY))))
        try:
            ledger.post(_reversal(deposit, organisation, from_wallet))
            break
        except Overdraft:
            continue  # spent between the look and the posting
    switch_deposit(deposit, DepositStatus.REVERSED)
    return deposit.amount - from_wallet


def hold(withdrawal: Withdrawal) -> None:
    """Set the sum aside. Raises Overdraft."""
    ledger.hold(
        id=hold_id(withdrawal),
        debit=wallet_of(withdrawal.organisation, CURRENCY).pk,
        credit=clearing(withdrawal.chain).pk,
        amount=withdrawal.amount,
        currency=CURRENCY,
        source_type="withdrawal",
        source_id=str(withdrawal.pk),
        expires_at=now() + HOLD_LIFE,
        memo=withdrawal.public_id,
    )


def settle_hold(withdrawal: Withdrawal, *, paid: bool) -> None:
    """The chain has paid it, or never will."""
    end = transfer_id("withdrawal", withdrawal.pk, "end")
    if paid:
        ledger.capture(hold_id(withdrawal), withdrawal.amount, id=end)
    else:
        ledger.release(hold_id(withdrawal), id=end)


def hold_id(withdrawal: Withdrawal) -> UUID:
    return transfer_id("withdrawal", withdrawal.pk, "hold")


def expected_clearing() -> dict[tuple[str, str], Decimal]:
    """What deposits and withdrawals say each clearing account has: by label and currency."""
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for sign, rows in (
        (1, Deposit.objects.filter(status=DepositStatus.CREDITED)),
        (-1, Withdrawal.objects.filter(status=WithdrawalStatus.DONE)),
    ):
        for chain, total in rows.values_list("chain").annotate(total=Sum("amount")):
            sums[f"usdc:{chain}", CURRENCY] += sign * total
    return dict(sums)


def _lock(deposit: Deposit) -> Organisation:
    assert deposit.organisation_id is not None
    return Organisation.objects.select_for_update(no_key=True).get(pk=deposit.organisation_id)


def _credit(deposit: Deposit, organisation: Organisation) -> Leg:
    return Leg(
        id=_deposit_id(deposit),
        debit=clearing(deposit.chain).pk,
        credit=wallet_of(organisation, CURRENCY).pk,
        amount=deposit.amount,
        currency=CURRENCY,
        source_type="deposit",
        source_id=str(deposit.pk),
        memo=deposit.public_id,
    )


def _reversal(deposit: Deposit, organisation: Organisation, from_wallet: Decimal) -> list[Leg]:
    payers = (
        ("wallet", wallet_of(organisation, CURRENCY), from_wallet),
        ("owed", account_of(organisation, Kind.OWED_TO_US, CURRENCY), deposit.amount - from_wallet),
    )
    return [
        Leg(
            id=_reversal_id(deposit, deposit.round, step),
            debit=account.pk,
            credit=clearing(deposit.chain).pk,
            amount=amount,
            currency=CURRENCY,
            source_type="deposit_reversal",
            source_id=str(deposit.pk),
            memo=deposit.public_id,
        )
        for step, account, amount in payers
        if amount
    ]


def _reversal_id(deposit: Deposit, round_: int, step: str) -> UUID:
    return transfer_id("deposit", deposit.pk, "reversal", round_, step)


def _deposit_id(deposit: Deposit) -> UUID:
    """A deposit that was taken back and appears again is credited again, once."""
    return transfer_id("deposit", deposit.pk, deposit.round) if deposit.round else transfer_id("deposit", deposit.pk)
