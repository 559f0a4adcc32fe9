"""One row that cannot be worked on holds up no other, and is not tried for ever."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from accounts.models import Organisation
from billing import dunning, plans, reconcile, tasks
from billing.lifecycle import PaymentStatus, SubscriptionStatus
from billing.models import Payment, Subscription, WebhookEvent
from billing.payments import checkout
from lib.clock import now
from tests.billing.money import approve, faulty
from tests.people import Person, make_organisation


def renewed(organisation: Organisation, ref: str, **columns: Any) -> Subscription:
    return Subscription.objects.create(
        organisation=organisation,
        plan=plans.find_plan("pro"),
        price_per_month=49,
        status=SubscriptionStatus.ACTIVE,
        service_ref=ref,
        due_at=now() - timedelta(hours=1),
        **columns,
    )


def test_a_subscription_that_cannot_be_looked_at(organisation: Organisation, paypal: str) -> None:
    """The oldest comes first: of a service that nobody here knows."""
    bad = renewed(organisation, "I-BAD", service="nobody")
    assert dunning.reconcile_subscriptions() == 1
    bad.refresh_from_db()
    assert (bad.failures, bad.lease_token) == (1, None)
    assert "nobody" in bad.last_error


def test_more_than_one_batch_is_looked_at(db: None, monkeypatch: pytest.MonkeyPatch, paypal: str) -> None:
    monkeypatch.setattr(dunning, "BATCH", 2)
    rows = [
        renewed(make_organisation(f"Company {number}"), f"I-{number}", service="nobody" if number else "paypal")
        for number in range(3)
    ]
    monkeypatch.setattr(dunning, "sync", lambda row: None if row.service == "paypal" or row != rows[1] else 1 / 0)
    assert dunning.reconcile_subscriptions() == 3
    failures = [Subscription.objects.get(pk=row.pk).failures for row in rows]
    assert failures == [0, 1, 0]


def begun(organisation: Organisation, person: Person, key: str) -> Payment:
    payment = checkout.start(
        organisation=organisation,
        purpose=Payment.Purpose.TOP_UP,
        amount="25",
        actor=person.actor,
        idempotency_key=key,
        **checkout.own_pages(),
    )
    approve(payment.approve_url)
    Payment.objects.filter(pk=payment.pk).update(created_at=F("created_at") - timedelta(minutes=5))
    return payment


def test_a_payment_that_cannot_be_brought_up(organisation: Organisation, owner: Person, paypal: str) -> None:
    bad, good = (begun(organisation, owner, key) for key in ("bad", "good"))
    Payment.objects.filter(pk=bad.pk).update(service="nobody")
    assert reconcile.reconcile_payments() == 2
    good.refresh_from_db()
    assert good.status == PaymentStatus.CAPTURED


def test_what_stops_one_part_stops_no_other(
    organisation: Organisation, owner: Person, paypal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ValueError("broken")

    payment = begun(organisation, owner, "key")
    monkeypatch.setattr(tasks, "end_lapsed", broken)
    tasks.reconcile_payments()
    payment.refresh_from_db()
    assert payment.status == PaymentStatus.CAPTURED


def test_an_event_that_never_ends_is_given_up(organisation: Organisation, owner: Person, paypal: str) -> None:
    payment = begun(organisation, owner, "key")
    kind = "CHECKOUT.ORDER.APPROVED"
    body = {"event_type": kind, "resource": {"id": payment.order_ref}}
    event = WebhookEvent.objects.create(service="paypal", event_ref="WH-1", kind=kind, body=body)
    with faulty(paypal, "http_500"):
        for age, ended in ((timedelta(days=6), False), (timedelta(days=8), True)):
            WebhookEvent.objects.filter(pk=event.pk).update(received_at=now() - age)
            tasks.process_webhook(event.pk)
            event.refresh_from_db()
            assert (event.processed_at is not None) is ended
    assert event.error.startswith("given up: ")
    assert reconcile.waiting_events() == []
