"""Plans that PayPal renews: agreed to there, begun by us, collected by PayPal, changed with its customer's yes."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import ClassVar

import requests
from django.conf import settings

from billing import tasks
from billing.lifecycle import PaymentStatus, SubscriptionStatus
from billing.models import Payment, Subscription
from billing.payments import checkout
from billing.payments.services import renewals
from lib.clock import now
from lib.leases import hint
from tests.billing.paypal import agree
from tests.crash.flow import Facts, Flow, ask, customer, payment_in


def begin(facts: Facts) -> None:
    """The customer's wish, their yes at PayPal, and their way back."""
    payment = payment_in(ask(facts, "billing/subscription", {"plan": "pro", "renew": True}))
    with suppress(AssertionError):  # they have agreed before
        agree(payment.approve_url)
    checkout.complete(payment.pk)


def set_clock(days_ago: int) -> None:
    """At PayPal."""
    moment = (now() - timedelta(days=days_ago)).isoformat()
    assert requests.post(f"{settings.PAYPAL_URL}/sandbox/clock", json={"now": moment}, timeout=10).ok


class SomePayPalPlan(Flow):
    peers = ("paypal",)
    sums: ClassVar[tuple[int, ...]]  # which PayPal has taken in the end, in dollars

    def prepare(self) -> Facts:
        return customer()[1]

    def act(self, facts: Facts) -> None:
        begin(facts)

    def check(self, facts: Facts) -> None:
        row = Subscription.objects.get(organisation=facts["organisation"])
        assert (row.status, row.plan_id, row.next_plan_id) == (SubscriptionStatus.ACTIVE, "pro", None)
        remote = renewals("paypal")
        assert remote.fetch_subscription(row.service_ref).state == "active"
        taken = [invoice.amount for invoice in remote.invoices(row.service_ref) if invoice.state == "paid"]
        paid = row.payments.filter(status=PaymentStatus.CAPTURED).values_list("amount", flat=True)
        assert tuple(taken) == tuple(paid) == self.sums
        assert Payment.objects.filter(organisation=facts["organisation"]).count() == len(self.sums)


class Begin(SomePayPalPlan):
    name, sums = "PayPal plan begun", (49,)


class Renewal(SomePayPalPlan):
    """Begun more than a month ago by PayPal's clock: PayPal has collected the second month."""

    name, sums, is_asked_for = "PayPal plan renewed", (49, 49), False

    def prepare(self) -> Facts:
        assert requests.post(f"{settings.PAYPAL_URL}/sandbox/reset", timeout=10).ok
        set_clock(days_ago=32)
        facts = super().prepare()
        begin(facts)
        set_clock(days_ago=0)
        hint(Subscription, Subscription.objects.get(organisation=facts["organisation"]).pk)
        return facts

    def act(self, facts: Facts) -> None:
        tasks.reconcile_subscriptions()


FLOWS: tuple[Flow, ...] = (Begin(), Renewal())
