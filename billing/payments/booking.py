"""A payment that a service has taken, in our books: one transaction, which holds its row, changes the status, moves the
money, gives the receipt its number, and begins what was paid for.
"""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts import actor as actors
from accounts.models import Organisation
from billing import invoices, ledger, owed, plans, receipts, refunds
from billing.accounts import Kind, account_of, platform_account, wallet_of
from billing.ledger import Leg, transfer_id
from billing.lifecycle import PaymentStatus, switch_payment
from billing.models import Payment, Plan
from billing.payments import turns
from billing.payments.base import Capture, Order
from billing.subscriptions import begin_month, call_off_waiting, continue_paid
from lib.clock import now

log = logging.getLogger(__name__)
CALLED_OFF = "Paid after another plan was begun, or this one was called off."


@transaction.atomic
def book(payment_id: UUID, order: Order, capture: Capture) -> Payment:
    """Once, however often it is called."""
    payment = Payment.objects.select_for_update(no_key=True, of=("self",)).select_related("plan").get(pk=payment_id)
    if payment.status == PaymentStatus.CAPTURED:
        return payment
    organisation = Organisation.objects.select_for_update(no_key=True).get(pk=payment.organisation_id)
    switch_payment(
        payment,
        PaymentStatus.CAPTURED,
        capture_ref=capture.ref,
        payer_email=order.payer_email,
        captured_at=now(),
        checked_at=now(),
        receipt_number=receipts.next_number(),
        **_first_month(payment, order),
    )
    leg = leg_of(payment, organisation)
    ledger.post([leg])
    if payment.purpose == Payment.Purpose.TOP_UP:
        owed.settle(organisation, payment.currency, payment.amount, cause=leg.id)
    begun = payment.plan is None or _begin_plan(payment, organisation, payment.plan)
    invoices.issue_for_payment(payment)
    if not begun:
        _give_back(payment)
    return payment


def _give_back(payment: Payment) -> None:
    """All of it: the reconciler asks the service, after this transaction."""
    refunds.request(
        payment=payment,
        amount=payment.amount,
        reason=CALLED_OFF,
        actor=actors.worker("payments"),
        idempotency_key="called-off",
    )
    payment.refresh_from_db(fields=["refunded"])


def _first_month(payment: Payment, order: Order) -> dict[str, Any]:
    """Known only now, where the customer begins a plan at the service."""
    if order.period is None or payment.paid_until is not None:
        return {}
    return {"paid_from": order.period[0], "paid_until": order.period[1]}


def _begin_plan(payment: Payment, organisation: Organisation, plan: Plan) -> bool:
    """The month that was paid, remembered with the payment: a refund takes back that month and no other. False for
    what was called off, and whose money came all the same: it begins nothing, and ends no other plan."""
    if payment.subscription is not None:
        if not continue_paid(payment, payment.subscription):
            return False
        call_off_waiting(payment)
        return True
    before = plans.current_subscription(organisation)
    if before is not None and before.plan_id != plan.pk and turns.is_overtaken(payment):
        log.error("payment %s came in after another plan was paid for", payment.public_id)
        return False
    call_off_waiting(payment)
    running = begin_month(organisation, plan)
    prolonged = before if before is not None and before.pk == running.pk else None
    Payment.objects.filter(pk=payment.pk).update(
        subscription=running,
        paid_from=prolonged.period_end if prolonged else running.period_start,
        paid_until=running.period_end,
    )
    payment.refresh_from_db(fields=["subscription", "paid_from", "paid_until"])
    return True


def leg_of(payment: Payment, organisation: Organisation) -> Leg:
    """What the service now owes us, for a plan or for the customer's wallet."""
    id = transfer_id("payment", payment.pk, "capture")
    if payment.purpose == Payment.Purpose.PLAN:
        credit = platform_account(Kind.REVENUE, payment.currency, id, label="plans")
    else:
        credit = wallet_of(organisation, payment.currency)
    return Leg(
        id=id,
        debit=account_of(None, Kind.CLEARING, payment.currency, label=payment.service).pk,
        credit=credit.pk,
        amount=payment.amount,
        currency=payment.currency,
        source_type="payment",
        source_id=str(payment.pk),
        memo=payment.public_id,
    )
