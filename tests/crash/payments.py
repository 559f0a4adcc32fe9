"""Money in and back: PayPal, cards, refunds, notifications, invoices, wallets that fill themselves."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.test import Client
from stripe import WebhookSignature

from accounts.models import Organisation
from billing import payment_methods, refunds, tasks, wallet
from billing.lifecycle import PaymentStatus, RefundStatus
from billing.models import AutoTopUp, Invoice, InvoiceFile, Payment, Refund, WebhookEvent
from billing.payments import checkout
from billing.payments.paypal.client import PayPalApi
from billing.payments.services import stripe as adapter
from notifications.models import Mail
from tests.billing.money import approve
from tests.billing.stripe import ASKS, add_card, answer_bank
from tests.crash.books import open_holds
from tests.crash.flow import (
    Facts,
    Flow,
    ask,
    charges_of,
    customer,
    customer_with_card,
    organisation_of,
    payment_in,
    worker,
)
from tests.people import Person

TOP_UP = {"amount": "25.00", "currency": "USD"}


def usd(organisation: Organisation) -> Decimal:
    assert open_holds(organisation) == 0
    return wallet.balance(organisation, "USD").available


def sole_payment(organisation: Organisation) -> Payment:
    return Payment.objects.get(organisation=organisation, status=PaymentStatus.CAPTURED)


def at_paypal(payment: Payment) -> Any:
    """The captures and refunds that PayPal shows for a payment."""
    return paypal().ask(f"v2/checkout/orders/{payment.order_ref}")["purchase_units"][0]["payments"]


@cache
def paypal() -> PayPalApi:
    secret = settings.PAYPAL_CLIENT_SECRET
    return PayPalApi(url=settings.PAYPAL_URL, client_id=settings.PAYPAL_CLIENT_ID, client_secret=secret)


class PayPalTopUp(Flow):
    name, peers = "top-up by PayPal", ("paypal",)

    def prepare(self) -> Facts:
        return customer()[1]

    def act(self, facts: Facts) -> None:
        """The order, the customer's yes at PayPal, and their way back."""
        payment = payment_in(ask(facts, "wallets/deposit", TOP_UP))
        approve(payment.approve_url)
        checkout.complete(payment.pk)

    def check(self, facts: Facts) -> None:
        organisation = organisation_of(facts)
        assert usd(organisation) == 25
        assert len(at_paypal(sole_payment(organisation))["captures"]) == 1


class CardTopUp(Flow):
    name, peers = "top-up by card", ("stripe",)

    def prepare(self) -> Facts:
        return customer_with_card()[1]

    def act(self, facts: Facts) -> None:
        ask(facts, "wallets/deposit", {**TOP_UP, "card": facts["card"]})

    def check(self, facts: Facts) -> None:
        organisation = organisation_of(facts)
        assert usd(organisation) == 25
        assert [charge.amount for charge in charges_of(organisation)] == [2500]
        sole_payment(organisation)


class SomeRefund(Flow):
    """10 of 25 dollars."""

    def paid(self, facts: Facts) -> Payment:
        raise NotImplementedError

    def begin(self) -> Facts:
        raise NotImplementedError

    def at_service(self, payment: Payment) -> list[Decimal]:
        raise NotImplementedError

    def prepare(self) -> Facts:
        facts = self.begin()
        return {**facts, "payment": str(self.paid(facts).pk)}

    def act(self, facts: Facts) -> None:
        refunds.give_back(
            payment=Payment.objects.get(pk=facts["payment"]),
            amount="10.00",
            reason="asked for",
            actor=worker(),
            idempotency_key=facts["key"],
        )

    def check(self, facts: Facts) -> None:
        payment = Payment.objects.get(pk=facts["payment"])
        assert usd(payment.organisation) == 15
        assert payment.refunded == 10
        assert Refund.objects.get(payment=payment).status == RefundStatus.COMPLETED
        assert self.at_service(payment) == [10]


class PayPalRefund(SomeRefund):
    name, peers = "refund by PayPal", ("paypal",)

    def begin(self) -> Facts:
        return customer()[1]

    def paid(self, facts: Facts) -> Payment:
        payment = payment_in(ask(facts, "wallets/deposit", TOP_UP))
        approve(payment.approve_url)
        return checkout.complete(payment.pk)

    def at_service(self, payment: Payment) -> list[Decimal]:
        return [Decimal(refund["amount"]["value"]) for refund in at_paypal(payment)["refunds"]]


class CardRefund(SomeRefund):
    name, peers = "refund by Stripe", ("stripe",)

    def begin(self) -> Facts:
        return customer_with_card()[1]

    def paid(self, facts: Facts) -> Payment:
        return payment_in(ask(facts, "wallets/deposit", {**TOP_UP, "card": facts["card"]}))

    def at_service(self, payment: Payment) -> list[Decimal]:
        wanted: Any = {"charge": payment.capture_ref}
        return [Decimal(refund.amount) / 100 for refund in adapter()._api.refunds.list(wanted).data]


class Notification(Flow):
    """Paid at the bank, nobody came back; Stripe tells us, until we answer, and then a worker looks."""

    name, peers = "notification", ("stripe",)

    def prepare(self) -> Facts:
        person, facts = customer()
        payment = begun_at_bank(person)
        answer_bank(payment.approve_url)
        about = {"id": payment.order_ref, "object": "payment_intent", "metadata": {"payment": payment.public_id}}
        body = {"id": f"evt_{uuid4().hex}", "object": "event", "type": "payment_intent.succeeded"}
        raw = json.dumps({**body, "data": {"object": about}})
        secret = settings.STRIPE_WEBHOOK_SECRET
        signature = WebhookSignature.generate_signature_header(raw, secret, int(time.time()))
        return {**facts, "raw": raw, "signature": signature, "event": body["id"]}

    def act(self, facts: Facts) -> None:
        answer = Client().post(
            "/api/v2/billing/webhook",
            facts["raw"].encode(),
            content_type="application/json",
            headers={"Stripe-Signature": facts["signature"]},
        )
        assert answer.status_code == 200
        tasks.process_webhook(WebhookEvent.objects.get(event_ref=facts["event"]).pk)

    def work(self, facts: Facts) -> None:
        for event in WebhookEvent.objects.filter(event_ref=facts["event"]):
            tasks.process_webhook(event.pk)

    def check(self, facts: Facts) -> None:
        organisation = organisation_of(facts)
        assert usd(organisation) == 25
        assert len(charges_of(organisation)) == 1
        assert WebhookEvent.objects.get(event_ref=facts["event"]).error == ""


def begun_at_bank(person: Person) -> Payment:
    """A payment whose bank asks first."""
    assert person.organisation is not None
    add_card(payment_methods.customer_of(person.organisation), ASKS)
    payment_methods.refresh(person.organisation)
    return checkout.start(
        organisation=person.organisation,
        purpose=Payment.Purpose.TOP_UP,
        amount="25.00",
        card=payment_methods.default_of(person.organisation),
        actor=person.actor,
        idempotency_key=uuid4().hex,
        **checkout.own_pages(),
    )


class InvoiceDelivery(Flow):
    """One file that counts, one mail. A death between the file and its row leaves a file that nobody names."""

    name, peers, is_asked_for = "invoice and its mail", ("stripe",), False

    def prepare(self) -> Facts:
        _person, facts = customer_with_card()
        payment = payment_in(ask(facts, "wallets/deposit", {**TOP_UP, "card": facts["card"]}))
        return {**facts, "invoice": str(Invoice.objects.get(payment=payment).pk)}

    def act(self, facts: Facts) -> None:
        tasks.deliver_invoice(facts["invoice"])

    def check(self, facts: Facts) -> None:
        assert InvoiceFile.objects.filter(invoice=facts["invoice"]).count() == 1
        [reader] = organisation_of(facts).members.all()
        assert Mail.objects.filter(to=reader.email).count() == 1


class AutomaticTopUp(Flow):
    name, peers, is_asked_for = "automatic top-up", ("stripe",), False

    def prepare(self) -> Facts:
        _person, facts = customer_with_card()
        AutoTopUp.objects.create(organisation=organisation_of(facts), is_on=True, threshold=20, amount=50)
        return facts

    def act(self, facts: Facts) -> None:
        tasks.keep_wallets_filled()

    def work(self, facts: Facts) -> None:
        tasks.keep_wallets_filled()

    def check(self, facts: Facts) -> None:
        organisation = organisation_of(facts)
        assert usd(organisation) == 50
        assert [charge.amount for charge in charges_of(organisation)] == [5000]
        sole_payment(organisation)


FLOWS: tuple[Flow, ...] = (
    PayPalTopUp(),
    CardTopUp(),
    PayPalRefund(),
    CardRefund(),
    Notification(),
    InvoiceDelivery(),
    AutomaticTopUp(),
)
