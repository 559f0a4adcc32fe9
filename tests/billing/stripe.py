"""What customers, banks and Stripe itself do in tests of cards."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import requests

from billing import payment_methods
from billing.models import PaymentMethod
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
