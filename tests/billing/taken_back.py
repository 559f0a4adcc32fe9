"""Acts that tests of chargebacks begin with: something was paid by card, and the payer's bank takes it back."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import requests

from billing import plans, reconcile
from billing.models import Chargeback, Payment, WebhookEvent
from billing.payments import checkout
from tests.billing.stripe import save_card
from tests.people import Person


def pay_by_card(person: Person, amount: str = "25.00") -> Payment:
    return _paid(person, purpose=Payment.Purpose.TOP_UP, amount=amount)


def pay_plan_by_card(person: Person, slug: str = "pro") -> Payment:
    return _paid(person, purpose=Payment.Purpose.PLAN, plan=plans.find_plan(slug))


def dispute(stripe: str, payment: Payment, cents: int | None = None, **more: Any) -> str:
    """The payer complains to their bank; its name at Stripe."""
    body = {"charge": payment.capture_ref, "reason": "fraudulent", **({"amount": cents} if cents else {}), **more}
    return str(_post(f"{stripe}/sandbox/disputes", body)["id"])


def decide(stripe: str, ref: str, decision: str) -> None:
    """What the bank does in the end: `won` or `lost`; or of a question, `escalate` and `close`."""
    _post(f"{stripe}/sandbox/disputes/{ref}/{decision}", {})


def hear(ref: str, kind: str = "charge.dispute.updated") -> WebhookEvent:
    """Stripe's notification is stored and worked on; its signature is tested elsewhere."""
    id = f"evt_{uuid4().hex}"
    body = {"id": id, "type": kind, "data": {"object": {"id": ref, "object": "dispute"}}}
    event = WebhookEvent.objects.create(service="stripe", event_ref=id, kind=kind, body=body)
    reconcile.process_event(event.pk)
    event.refresh_from_db()
    return event


def disputed(stripe: str, payment: Payment, cents: int | None = None, **more: Any) -> Chargeback:
    """Disputed, and we have heard of it."""
    ref = dispute(stripe, payment, cents, **more)
    assert hear(ref, "charge.dispute.created").error == ""
    return Chargeback.objects.get(service_ref=ref)


def _paid(person: Person, **what: Any) -> Payment:
    assert person.organisation is not None
    return checkout.start(
        organisation=person.organisation,
        card=save_card(person),
        actor=person.actor,
        idempotency_key=uuid4().hex,
        **what,
        **checkout.own_pages(),
    )


def _post(url: str, body: dict[str, Any]) -> Any:
    answer = requests.post(url, json=body, timeout=5)
    assert answer.ok, answer.text
    return answer.json()
