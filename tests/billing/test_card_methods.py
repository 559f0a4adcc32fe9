"""Saved cards: kept by Stripe, shown by us; never a number of one."""

from __future__ import annotations

from typing import Any

import pytest

from billing import payment_methods
from billing.models import PaymentMethod, ServiceCustomer
from billing.payments.services import service
from billing.payments.services import stripe as adapter
from lib.errors import Conflict
from tests.billing.stripe import GOOD, add_card, save_card
from tests.people import Person

PAGE = "/billing/methods/"


def test_a_card_comes_by_asking_stripe(owner: Person, stripe: str) -> None:
    assert owner.organisation is not None
    answer = owner.api("post", "billing/setup-intent")
    assert answer.status_code == 201
    assert answer.json()["publishable_key"].startswith("pk_test_")
    assert "_secret_" in answer.json()["client_secret"]
    customer = ServiceCustomer.objects.get(organisation=owner.organisation).ref
    assert owner.api("post", "billing/setup-intent").status_code == 201
    assert ServiceCustomer.objects.count() == 1
    add_card(customer, "pm_card_mastercard")
    back = owner.client.get(PAGE, {"setup_intent": "seti_whatever", "redirect_status": "succeeded"})
    assert back.status_code == 302
    page = owner.client.get(PAGE).content.decode()
    assert "Mastercard ···· 4444" in page
    assert "pm_" not in page
    card = PaymentMethod.objects.get()
    assert (card.brand, card.last4, card.is_default) == ("mastercard", "4444", True)
    assert card.fingerprint
    listed = owner.api("get", "billing/payment-methods").json()["items"]
    assert [(row["id"], row["last4"], row["is_default"]) for row in listed] == [(card.public_id, "4444", True)]


def test_default_and_removal(owner: Person, stripe: str) -> None:
    first, second = save_card(owner), save_card(owner, "pm_card_mastercard")
    assert (first.is_default, second.is_default) == (True, False)
    customer = ServiceCustomer.objects.get().ref
    assert owner.client.post(f"{PAGE}{second.public_id}/default/").status_code == 302
    assert payment_methods.default_of(second.organisation) == second
    kept = adapter()._api.customers.retrieve(customer).to_dict()
    assert kept["invoice_settings"]["default_payment_method"] == second.ref
    assert owner.api("delete", f"billing/payment-methods/{second.public_id}").status_code == 204
    assert list(payment_methods.cards_of(first.organisation)) == [first]
    assert payment_methods.default_of(first.organisation) == first
    assert [card.ref for card in adapter().cards(customer)] == [first.ref]
    assert owner.api("delete", f"billing/payment-methods/{second.public_id}").status_code == 404
    assert owner.api("post", f"billing/payment-methods/{first.public_id}/default").json()["is_default"]


def test_what_stripe_forgot_is_no_card_of_ours(owner: Person, stripe: str) -> None:
    card = save_card(owner)
    adapter().forget(card.ref)
    with pytest.raises(Conflict):
        payment_methods.choose_default(card, owner.actor)
    payment_methods.refresh_of(ServiceCustomer.objects.get().ref)
    assert not payment_methods.cards_of(card.organisation).exists()
    payment_methods.refresh_of("cus_of_somebody_else")  # nobody here


def test_the_page_alone_lets_stripe_in(owner: Person, stripe: str) -> None:
    policy = owner.client.get(PAGE)["Content-Security-Policy"]
    for part in (f"script-src 'self' {stripe}", f"frame-src {stripe}", f"connect-src 'self' {stripe}"):
        assert part in policy
    assert "unsafe" not in policy
    other = owner.client.get("/billing/top-up/")["Content-Security-Policy"]
    assert f"script-src 'self' {stripe}" not in other
    page = owner.client.get(PAGE).content.decode()
    assert f'<script src="{stripe}/sandbox/js/v3.js"></script>' in page


def test_without_keys_the_page_says_so(owner: Person, settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = ""
    service.cache_clear()
    page = owner.client.get(PAGE)
    assert page.status_code == 200
    assert "has no keys of Stripe" in page.content.decode()
    assert "v3.js" not in page.content.decode()
    answer = owner.api("post", "billing/setup-intent")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "payment_service_not_configured")
    service.cache_clear()


def test_a_member_sees_no_cards_and_saves_none(member: Person, outsider: Person, owner: Person, stripe: str) -> None:
    card = save_card(owner, GOOD)
    assert member.client.get(PAGE).status_code == 403
    assert member.api("post", "billing/setup-intent").status_code == 403
    assert outsider.client.post(f"{PAGE}{card.public_id}/remove/").status_code == 404
    key = {"Idempotency-Key": "k1"}
    body = {"amount": "5", "card": card.public_id}
    assert outsider.api("post", "wallets/deposit", body, key).status_code == 404
