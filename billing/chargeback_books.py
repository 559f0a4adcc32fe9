"""Chargebacks in the ledger: what the service says of its own money is booked as it is.

What it took leaves its clearing account: out of the wallet as far as that has it, for a top-up, out of the revenue for a
plan; the rest the customer owes us. What it gives back goes the same way home. Its fee is ours to bear. Banks think
again: each sum may be taken, given back and taken once more, and what differs from our row is booked.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from decimal import Decimal
from functools import partial
from uuid import UUID

from django.db.models import F, QuerySet, Sum

from accounts.models import Organisation
from billing import invoices, ledger, owed
from billing.accounts import Kind, account_of, platform_account, wallet_of
from billing.ledger import Leg, transfer_id
from billing.models import Account, Chargeback, Payment, Transfer
from billing.payments.base import RemoteChargeback
from billing.taking_back import end_what_went_back, take_from_wallet

log = logging.getLogger(__name__)
SOURCE = "chargeback"
# What comes back settles first what is owed.
GIVEN_BACK_TO = (Kind.OWED_TO_US, Kind.WALLET, Kind.REVENUE)


def book(row: Chargeback, payment: Payment, remote: RemoteChargeback) -> None:
    """Bring the books up to what the service has taken and given back. The caller's transaction holds the payment."""
    organisation = Organisation.objects.select_for_update(no_key=True).get(pk=payment.organisation_id)
    if remote.withdrawn > row.withdrawn:
        _withdraw(row, payment, organisation, remote.withdrawn - row.withdrawn)
    if remote.returned > row.returned:
        _give_back(row, remote.returned - row.returned)
    if remote.fee != row.fee:
        _book_fee(row, remote.fee)
    row.refresh_from_db()
    payment.refresh_from_db(fields=["charged_back"])


def count_again(payment: Payment) -> list[Chargeback]:
    """A refund that was on its way has failed: what a bank took meanwhile is taken from this payment after all, and is
    owed no longer. The caller's transaction holds the payment and the organisation. Answers those of which more counts now."""
    payment.refresh_from_db(fields=["refunded", "charged_back"])
    changed = []
    for row in payment.chargebacks.filter(withdrawn__gt=F("returned") + F("counted")).order_by("opened_at", "pk"):
        more = min(payment.left, row.withdrawn - row.returned - row.counted)
        if more <= 0:
            continue
        row.payment = payment
        _count(row, more)
        _settle_owed(row, more)
        owed.settle(payment.organisation, row.currency, Decimal(0), cause=_leg_id(row, f"more-{_turn(row)}"))
        payment.refresh_from_db(fields=["charged_back"])
        changed.append(row)
    return changed


def close_lost(row: Chargeback, payment: Payment) -> None:
    """The sum is lost: its credit note, and the end of what was paid for with it."""
    if row.counted and not hasattr(row, "credit_note"):
        invoices.issue_credit_note(payment, row.counted, chargeback=row)
    elif row.counted and row.credit_note.gross != row.counted:
        log.error("chargeback %s: its credit note says %s", row.public_id, row.credit_note.gross)
    end_what_went_back(payment)


def expected_clearing() -> Counter[tuple[str, str]]:
    """What chargebacks have changed in what each service owes us: by its name and currency."""
    sums = Counter[tuple[str, str]]()
    change = Sum(F("returned") - F("withdrawn") - F("fee"))
    for service, currency, total in Chargeback.objects.values_list("service", "currency").annotate(total=change):
        sums[service, currency] += total
    return sums


def _withdraw(row: Chargeback, payment: Payment, organisation: Organisation, amount: Decimal) -> None:
    """What had been refunded before goes back a second time: that the customer owes, whatever it was paid for."""
    counted = min(amount, payment.left)
    turn = _turn(row)
    if payment.purpose == Payment.Purpose.TOP_UP:
        lacking = take_from_wallet(organisation, row.currency, amount, partial(_leg, row, turn))
    else:
        lacking = amount - counted
        legs = []
        if counted:
            legs.append(_leg(row, turn, "plan", _revenue(row).pk, counted))
        if lacking:
            legs.append(_leg(row, turn, "owed", _owed(row).pk, lacking))
        ledger.post(legs)
    if lacking:
        log.error("chargeback %s: the customer owes %s of it", row.public_id, lacking)
    Chargeback.objects.filter(pk=row.pk).update(withdrawn=F("withdrawn") + amount)
    _count(row, counted)


def _count(row: Chargeback, more: Decimal) -> None:
    Payment.objects.filter(pk=row.payment_id).update(charged_back=F("charged_back") + more)
    Chargeback.objects.filter(pk=row.pk).update(counted=F("counted") + more)
    row.refresh_from_db()


def _settle_owed(row: Chargeback, amount: Decimal) -> None:
    """Of what is owed for it, as much as was set aside for the refund: out of the wallet, or the revenue of the plan."""
    taken, organisation = _taken(row), row.payment.organisation
    lacked = sum((sum_ for account, sum_ in taken if account.kind == Kind.OWED_TO_US), Decimal(0))
    if row.payment.purpose == Payment.Purpose.TOP_UP:
        source = wallet_of(organisation, row.currency)
        amount = min(amount, lacked, ledger.available(source))
    else:
        source, amount = _revenue(row), min(amount, lacked)
    if amount > 0:
        ledger.post([_leg_between(row, f"settle-{_turn(row)}", source.pk, _owed(row).pk, amount)])


def _give_back(row: Chargeback, amount: Decimal) -> None:
    """Each account gets back what was taken out of it."""
    legs, left, turn, came = [], amount, _turn(row), Decimal(0)
    for number, (account, taken) in enumerate(_taken(row)):
        share = min(left, taken)
        if share:
            legs.append(_leg_between(row, f"back-{turn}-{number}", _clearing(row), account.pk, share))
            left -= share
            came += share if account.kind == Kind.WALLET else 0
    if left:
        log.error("chargeback %s: the service gave %s more back than it had taken", row.public_id, left)
    ledger.post(legs)
    owed.settle(row.payment.organisation, row.currency, came, cause=_leg_id(row, f"back-{turn}"))
    returned = row.returned + amount - left
    counted = min(row.counted, row.withdrawn - returned)
    Payment.objects.filter(pk=row.payment_id).update(charged_back=F("charged_back") - (row.counted - counted))
    Chargeback.objects.filter(pk=row.pk).update(returned=returned, counted=counted)


def _taken(row: Chargeback) -> list[tuple[Account, Decimal]]:
    """What each account has given for it and not got back, those first to which it is given back first."""
    sums = defaultdict[UUID, Decimal](Decimal)
    for transfer in _transfers(row):
        sums[transfer.debit_account_id] += transfer.amount
        sums[transfer.credit_account_id] -= transfer.amount
    accounts = Account.objects.filter(pk__in=sums, kind__in=GIVEN_BACK_TO)
    found = [(account, sums[account.pk]) for account in accounts if sums[account.pk] > 0]
    return sorted(found, key=lambda each: (GIVEN_BACK_TO.index(Kind(each[0].kind)), str(each[0].pk)))


def _book_fee(row: Chargeback, fee: Decimal) -> None:
    """Some services give it back to who wins."""
    more = fee - row.fee
    step = f"fee-{_turn(row)}"
    cost = platform_account(Kind.FEES, row.currency, _leg_id(row, step), label=row.service).pk
    debit, credit = (cost, _clearing(row)) if more > 0 else (_clearing(row), cost)
    ledger.post([_leg_between(row, step, debit, credit, abs(more))])
    Chargeback.objects.filter(pk=row.pk).update(fee=fee)


def _transfers(row: Chargeback) -> QuerySet[Transfer]:
    return Transfer.objects.filter(source_type=SOURCE, source_id=str(row.pk))


def _turn(row: Chargeback) -> int:
    """Makes a step's name its own: the same sums may come and go again. Whoever books holds the payment."""
    return _transfers(row).count()


def _revenue(row: Chargeback) -> Account:
    return platform_account(Kind.REVENUE, row.currency, _leg_id(row, "plan"), label="plans")


def _owed(row: Chargeback) -> Account:
    return account_of(row.payment.organisation, Kind.OWED_TO_US, row.currency)


def _leg(row: Chargeback, turn: int, step: str, debit: UUID, amount: Decimal) -> Leg:
    return _leg_between(row, f"{step}-{turn}", debit, _clearing(row), amount)


def _leg_between(row: Chargeback, step: str, debit: UUID, credit: UUID, amount: Decimal) -> Leg:
    return Leg(
        id=_leg_id(row, step),
        debit=debit,
        credit=credit,
        amount=amount,
        currency=row.currency,
        source_type=SOURCE,
        source_id=str(row.pk),
        memo=row.payment.public_id,
    )


def _leg_id(row: Chargeback, step: str) -> UUID:
    return transfer_id("chargeback", row.pk, step)


def _clearing(row: Chargeback) -> UUID:
    return account_of(None, Kind.CLEARING, row.currency, label=row.service).pk
