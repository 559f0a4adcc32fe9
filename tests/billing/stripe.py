"""What customers, banks and Stripe itself do in tests of cards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import requests
from django.urls import reverse
from freezegun import freeze_time

from billing import dunning, payment_methods
from billing.models import PaymentMethod, ServiceCustomer, Subscription
from billing.payments.services import stripe
from tests.people import Person

# https://docs.stripe.com/testing
GOOD, ASKS, POOR, FAILS_LATER = (
    "pm_card_visa",
    "pm_card_authenticationRequired",
    "pm_card_chargeDeclinedInsufficientFunds",
    "pm_card_chargeCustomerFail",
)


def answer_bank(url: str, action: str = "complete") -> requests.Response:
    """What the payer does on the bank's page; the answer sends them back to us."""
    secret = parse_qs(urlsplit(url).query)["client_secret"][0]
    form = {"client_secret": secret, "action": action}
    return requests.post(url, data=form, timeout=10, allow_redirects=False)


def new_customer() -> str:
    return stripe().create_customer("org_1", request_id=uuid4().hex)


def add_card(customer_ref: str, card: str = GOOD) -> str:
    """A card at Stripe, as after the form on our page; its id there."""
    attached = stripe()._api.payment_methods.attach(card, {"customer": customer_ref})
    return str(attached.id)


def save_card(person: Person, card: str = GOOD) -> PaymentMethod:
    """A card of the person's organisation, at Stripe and here."""
    assert person.organisation is not None
    ref = add_card(payment_methods.customer_of(person.organisation), card)
    payment_methods.refresh(person.organisation)
    return PaymentMethod.objects.get(ref=ref)


class Clock:
    """A test clock of Stripe's, and ours frozen with it."""

    def __init__(self, person: Person, start: datetime) -> None:
        assert person.organisation is not None
        self.organisation = person.organisation
        reverse("billing:home")  # the routes of the API must load before time is frozen
        body: Any = {"frozen_time": int(start.timestamp())}
        self.id, self.moment = str(stripe()._api.test_helpers.test_clocks.create(body).id), start
        customer: Any = {"test_clock": self.id}
        ref = stripe()._api.customers.create(customer).id
        ServiceCustomer.objects.create(organisation=self.organisation, service="stripe", ref=ref)

    @contextmanager
    def at(self, moment: datetime, *, look: bool = True) -> Iterator[None]:
        """It is this moment, there and here; what was due since has been looked at."""
        if moment > self.moment:
            body: Any = {"frozen_time": int(moment.timestamp())}
            stripe()._api.test_helpers.test_clocks.advance(self.id, body)
            self.moment = moment
        with freeze_time(moment):
            if look:
                self.look()
            yield

    def look(self) -> None:
        """What the worker does each minute."""
        for row in Subscription.objects.filter(organisation=self.organisation).exclude(service_ref=""):
            dunning.look(row)
