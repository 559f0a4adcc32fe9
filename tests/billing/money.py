"""Small acts that tests of money begin with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from uuid import uuid4

import requests

from accounts.models import Organisation
from billing import ledger, lots, plans
from billing.accounts import Kind, account_of, wallet_of
from billing.ledger import Leg
from billing.models import Account, Payment, PaymentMethod
from billing.payments import checkout
from tests.people import Person


def opening(currency: str = "USD") -> Account:
    return account_of(None, Kind.OPENING, currency, label="tests")


def fund(organisation: Organisation, amount: str, currency: str = "USD") -> Account:
    """Money from nowhere into the organisation's wallet; as many credits, which do not expire."""
    wallet = wallet_of(organisation, currency)
    if currency == lots.CURRENCY:
        lots.grant(organisation, Decimal(amount), id=uuid4(), source=lots.Source.STAFF)
        return wallet
    ledger.post([leg(opening(currency), wallet, amount, currency=currency)])
    return wallet


def leg(debit: Account, credit: Account, amount: str | Decimal, **columns: Any) -> Leg:
    defaults = {"id": uuid4(), "currency": "USD", "source_type": "test", "source_id": "1"}
    return Leg(debit=debit.pk, credit=credit.pk, amount=Decimal(amount), **{**defaults, **columns})


def approve(approve_url: str, action: str = "approve") -> requests.Response:
    """What the customer does on PayPal's page; the answer sends them back to us."""
    page, _sign, token = approve_url.partition("?token=")
    return requests.post(page, data={"token": token, "action": action}, timeout=10, allow_redirects=False)


def pay_month(person: Person, plan: str = "pro", card: PaymentMethod | None = None) -> Payment:
    """Asked for: by PayPal, whose page waits for its customer, where no card is given."""
    assert person.organisation is not None
    return checkout.start(
        organisation=person.organisation,
        purpose=Payment.Purpose.PLAN,
        plan=plans.find_plan(plan),
        card=card,
        actor=person.actor,
        idempotency_key=uuid4().hex,
        **checkout.own_pages(),
    )


def plan_of(person: Person) -> str:
    assert person.organisation is not None
    return plans.current_plan(person.organisation).slug


def sole_payment(organisation: Organisation | None) -> Payment:
    return Payment.objects.get(organisation=organisation)


@contextmanager
def faulty(peer: str, mode: str, path: str = "/v2/") -> Iterator[None]:
    """The peer has a bad day at everything but its token."""
    knob = {"mode": mode, "path": path}
    assert requests.post(f"{peer}/sandbox/faults", json=knob, timeout=5).ok
    try:
        yield
    finally:
        assert requests.post(f"{peer}/sandbox/faults", json={**knob, "mode": "off"}, timeout=5).ok
