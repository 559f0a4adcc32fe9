"""Chargebacks in the ledger: what the service says of its own money is booked as it is.

What it took leaves its clearing account: out of the wallet as far as that has it, for a top-up, out of the revenue for a
plan; the rest the customer owes us. What it gives back goes the same way home. Its fee is ours to bear.
"""

from __future__ import annotations

import logging
from collections import Counter
from decimal import Decimal
from functools import partial
from uuid import UUID

from django.db.models import F, Sum

from accounts.models import Organisation
from billing import ledger
from billing.accounts import Kind, account_of, platform_account
from billing.ledger import Leg, transfer_id
from billing.models import Chargeback, Payment, Transfer
from billing.payments.base import RemoteChargeback
from billing.taking_back import take_from_wallet

log = logging.getLogger(__name__)
STEPS = ("owed", "wallet", "plan")  # what comes back settles first what is owed


def book(row: Chargeback, payment: Payment, remote: RemoteChargeback) -> None:
    """Bring the books up to what the service has taken and given back. The caller's transaction holds the payment."""
    organisation = Organisation.objects.select_for_update(no_key=True).get(pk=payment.organisation_id)
    if remote.withdrawn and not row.withdrawn:
        _withdraw(row, payment, organisation, remote.withdrawn)
    if remote.returned and not row.returned:
        _give_back(row, remote.returned)
    if remote.fee != row.fee:
        _book_fee(row, remote.fee)
    row.refresh_from_db()
    payment.refresh_from_db(fields=["charged_back"])


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
    Payment.objects.filter(pk=payment.pk).update(charged_back=F("charged_back") + counted)
    if payment.purpose == Payment.Purpose.TOP_UP:
        lacking = take_from_wallet(organisation, row.currency, amount, partial(_leg, row))
    else:
        lacking = amount - counted
        legs = []
        if counted:
            revenue = platform_account(Kind.REVENUE, row.currency, _leg_id(row, "plan"), label="plans")
            legs.append(_leg(row, "plan", revenue.pk, counted))
        if lacking:
            legs.append(_leg(row, "owed", account_of(organisation, Kind.OWED_TO_US, row.currency).pk, lacking))
        ledger.post(legs)
    if lacking:
        log.error("chargeback %s: the customer owes %s of it", row.public_id, lacking)
    Chargeback.objects.filter(pk=row.pk).update(withdrawn=amount, counted=counted)
    row.refresh_from_db()


def _give_back(row: Chargeback, amount: Decimal) -> None:
    """Each account gets back what was taken out of it."""
    taken = {step: Transfer.objects.filter(pk=_leg_id(row, step)).first() for step in STEPS}
    legs, left = [], amount
    for step, transfer in taken.items():
        share = min(left, transfer.amount) if transfer else Decimal(0)
        if transfer and share:
            back = (_clearing(row), transfer.debit_account_id)
            legs.append(_leg_between(row, f"{step}-back", *back, share))
            left -= share
    if left:
        log.error("chargeback %s: the service gave %s more back than it had taken", row.public_id, left)
    ledger.post(legs)
    returned = amount - left
    counted = min(row.counted, row.withdrawn - returned)
    Payment.objects.filter(pk=row.payment_id).update(charged_back=F("charged_back") - (row.counted - counted))
    Chargeback.objects.filter(pk=row.pk).update(returned=returned, counted=counted)


def _book_fee(row: Chargeback, fee: Decimal) -> None:
    """Some services give it back to who wins."""
    more = fee - row.fee
    step = "fee" if more > 0 else "fee-back"
    cost = platform_account(Kind.FEES, row.currency, _leg_id(row, "fee"), label=row.service).pk
    debit, credit = (cost, _clearing(row)) if more > 0 else (_clearing(row), cost)
    ledger.post([_leg_between(row, step, debit, credit, abs(more))])
    Chargeback.objects.filter(pk=row.pk).update(fee=fee)


def _leg(row: Chargeback, step: str, debit: UUID, amount: Decimal) -> Leg:
    return _leg_between(row, step, debit, _clearing(row), amount)


def _leg_between(row: Chargeback, step: str, debit: UUID, credit: UUID, amount: Decimal) -> Leg:
    return Leg(
        id=_leg_id(row, step),
        debit=debit,
        credit=credit,
        amount=amount,
        currency=row.currency,
        source_type="chargeback",
        source_id=str(row.pk),
        memo=row.payment.public_id,
    )


def _leg_id(row: Chargeback, step: str) -> UUID:
    return transfer_id("chargeback", row.pk, step)


def _clearing(row: Chargeback) -> UUID:
    return account_of(None, Kind.CLEARING, row.currency, label=row.service).pk
