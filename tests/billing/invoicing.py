"""Acts that tests of invoices and refunds begin with: something was paid."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import requests

from billing import plans, tasks
from billing.models import Invoice, Payment, Refund
from billing.payments import checkout
from billing.refunds import give_back
from tests.billing.money import approve
from tests.people import Person


def start(person: Person, amount: str = "25.00") -> Payment:
    """A top-up that the customer has approved and that is not captured yet."""
    return _approved(person, purpose=Payment.Purpose.TOP_UP, amount=amount)


def pay(person: Person, amount: str = "25.00") -> Payment:
    return checkout.complete(start(person, amount).pk)


def pay_plan(person: Person, slug: str = "pro") -> Payment:
    return checkout.complete(_approved(person, purpose=Payment.Purpose.PLAN, plan=plans.find_plan(slug)).pk)


def refund(payment: Payment, amount: str, staff: Person, key: str | None = None) -> Refund:
    return give_back(
        payment=payment, amount=amount, reason="asked for", actor=staff.actor, idempotency_key=key or uuid4().hex
    )


def return_at_paypal(paypal: str, payment: Payment, amount: str | None = None, *, reversed: bool = False) -> str:
    """Money goes back there without our asking; the id of the refund."""
    body: dict[str, Any] = {"reversed": reversed}
    if amount is not None:
        body["amount"] = {"currency_code": "USD", "value": amount}
    answer = requests.post(f"{paypal}/sandbox/captures/{payment.capture_ref}/return", json=body, timeout=5)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def deliver_invoices() -> None:
    """What the worker does after the commit."""
    for invoice in Invoice.objects.filter(file=None).order_by("pk"):
        tasks.deliver_invoice(str(invoice.pk))


def _approved(person: Person, **what: Any) -> Payment:
    assert person.organisation is not None
    payment = checkout.start(
        organisation=person.organisation,
        actor=person.actor,
        idempotency_key=uuid4().hex,
        **what,
        **checkout.own_pages(),
    )
    approve(payment.approve_url)
    return payment
