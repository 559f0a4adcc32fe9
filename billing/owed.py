"""What a customer owes us: money that a bank or a chain took back when it was spent. It is one sum for each currency,
and the next money that comes into that wallet settles it first.

Whoever changes what is owed, or brings money in, holds the organisation's row before the ledger locks accounts: so
nothing is settled twice, and nobody waits in a ring.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.db.models import F, Q

from accounts.models import Organisation
from billing import ledger
from billing.accounts import Kind, wallet_of
from billing.ledger import Leg, transfer_id
from billing.models import Account, Transfer

SOURCE = "owed"


@dataclass(frozen=True, slots=True)
class Debt:
    """`cause` and `memo` are of the newest of what it comes from and that has not come back."""

    currency: str
    amount: Decimal
    cause: str
    memo: str


def debts_of(organisation: Organisation) -> list[Debt]:
    """What is owed now, for the customer to read."""
    accounts = Account.objects.filter(organisation=organisation, kind=Kind.OWED_TO_US).order_by("-currency")
    return [_debt(account) for account in accounts if account.debits_posted > account.credits_posted]


def owes(organisation: Organisation, currency: str) -> bool:
    """Whether what comes into this wallet does not stay in it."""
    accounts = Account.objects.filter(organisation=organisation, kind=Kind.OWED_TO_US, currency=currency)
    return accounts.filter(debits_posted__gt=F("credits_posted")).exists()


def settle(organisation: Organisation, currency: str, came: Decimal, *, cause: UUID) -> None:
    """Out of what the caller's transaction has just brought into the wallet, by the transfer or act `cause`.

    When what was settled before has come back after all, more than was owed, the wallet gets that.
    """
    account = Account.objects.filter(organisation=organisation, kind=Kind.OWED_TO_US, currency=currency).first()
    if account is None:
        return
    left = account.debits_posted - account.credits_posted
    amount, wallet = min(left, came), wallet_of(organisation, currency)
    if not amount:
        return
    debit, credit = (wallet, account) if amount > 0 else (account, wallet)
    id = transfer_id(SOURCE, cause)
    memo = _newest(account).memo
    ledger.post([Leg(id, debit.pk, credit.pk, abs(amount), currency, SOURCE, str(organisation.pk), memo)])


def _debt(account: Account) -> Debt:
    newest = _newest(account)
    return Debt(account.currency, account.debits_posted - account.credits_posted, newest.source_type, newest.memo)


def _newest(account: Account) -> Transfer:
    """Where all has come back, and more than was owed by then, the newest of all."""
    rows = Transfer.objects.filter(Q(debit_account=account) | Q(credit_account=account)).exclude(source_type=SOURCE)
    left, debits = defaultdict[tuple[str, str], Decimal](Decimal), list[Transfer]()
    for row in rows.order_by("-created_at"):
        is_debit = row.debit_account_id == account.pk
        left[row.source_type, row.source_id] += row.amount if is_debit else -row.amount
        if is_debit:
            debits.append(row)
    return next((row for row in debits if left[row.source_type, row.source_id] > 0), debits[0])
