"""From a plan to a paid and activated account, through the pages, with PayPal's stand-in."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import requests
from django.core import mail
from django.test import Client

from accounts.models import User
from billing import seeds as billing_seeds
from billing.models import Payment, Subscription
from billing.payments.services import service
from billing.wallet import balances
from enrollment.models import Enrolment
from enrollment.states import EnrolmentStatus
from pods import seeds as pod_seeds
from tests.billing.stripe import ASKS, FAILS_LATER, answer_bank, save_card
from tests.people import Person

pytestmark = pytest.mark.django_db(transaction=True)
FORM = {
    "plan": "pro",
    "name": "Ana",
    "email": "ana@example.com",
    "country": "EC",
    "identity_kind": "cedula",
    "identity": "1710034065",
    "terms": "on",
    "token": "a form's",
}


@pytest.fixture(autouse=True)
def _plans(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    billing_seeds.seed()
    pod_seeds.seed()


def approve(approve_url: str) -> str:
    """What a person does on PayPal's page. Answers the address to which PayPal sends them back."""
    token = re.search(r"token=([\w-]+)", approve_url)
    assert token
    page = requests.get(approve_url, timeout=5)
    action = re.search(r'<form[^>]*action="([^"]*)"', page.text)
    assert action, page.text
    fields = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', page.text))
    answer = requests.post(
        requests.compat.urljoin(approve_url, action.group(1).replace("&amp;", "&")),
        data=fields | {"action": "approve", "choice": "approve"},
        allow_redirects=False,
        timeout=5,
    )
    assert answer.status_code in {302, 303}, answer.text
    return answer.headers["Location"]


def mailed_key() -> str:
    found = re.search(r"act_[\w-]+", str(mail.outbox[-1].body))
    assert found
    return found.group(0)


def local(url: str) -> str:
    return re.sub(r"^https?://[^/]+", "", url)


def test_a_paid_plan_becomes_an_active_account(client: Client, peer: Callable[[str], Any]) -> None:
    peer("paypal")
    answer = client.post("/checkout/", FORM)
    assert answer.status_code == 302, answer.content.decode()[:3000]
    enrolment = Enrolment.objects.get()
    assert enrolment.status == EnrolmentStatus.STARTED
    assert not mail.outbox
    back = local(approve(answer["Location"]))
    assert client.get(back)["Location"] == "/checkout/mail/"
    enrolment.refresh_from_db()
    assert enrolment.status == EnrolmentStatus.PAID
    assert Subscription.objects.get().plan_id == "pro"
    key = mailed_key()
    assert key not in str(list(Enrolment.objects.values_list())), "only the key's hash is stored"
    assert client.get(back)["Location"] == "/checkout/mail/", "coming back twice pays once"
    assert Payment.objects.count() == 1

    activated = client.post("/activate/", {"key": key})
    assert activated["Location"] == "/provisioning/"
    assert client.get("/mailbox/").status_code == 200
    person = User.objects.get(email="ana@example.com")
    assert int(client.session["_auth_user_id"].replace("-", ""), 16) == person.pk.int
    assert balances(person.organisations.get())["CREDIT"] == 10
    again = Client().post("/activate/", {"key": key})
    assert again.status_code == 422
    assert "already been used" in again.content.decode()


@pytest.fixture
def signed_in(owner: Person, peer: Callable[[str], Any]) -> Person:
    """Somebody who has an account, at which cards can be saved."""
    peer("paypal")
    peer("stripe")
    service.cache_clear()
    return owner


def test_a_saved_card_pays_at_the_checkout(signed_in: Person) -> None:
    card = save_card(signed_in)
    page = signed_in.client.get("/checkout/?plan=pro").content.decode()
    assert "Visa ···· 4242" in page
    answer = signed_in.client.post("/checkout/", FORM | {"pay_with": card.public_id})
    enrolment = Enrolment.objects.get()
    assert answer["Location"] == f"/checkout/{enrolment.public_id}/returned/"
    assert signed_in.client.get(answer["Location"])["Location"] == "/checkout/mail/"
    payment = Payment.objects.get()
    assert (payment.service, payment.method, payment.status) == ("stripe", card, "captured")
    assert mailed_key()


def test_a_card_whose_bank_asks_and_one_that_is_declined(signed_in: Person) -> None:
    asks, bad = save_card(signed_in, ASKS), save_card(signed_in, FAILS_LATER)
    refused = signed_in.client.post("/checkout/", FORM | {"pay_with": bad.public_id})
    page = signed_in.client.get(refused["Location"]).content.decode()
    assert "declined" in page
    assert "Go to PayPal again" in page
    asked = signed_in.client.post("/checkout/", FORM | {"pay_with": asks.public_id, "token": "another form's"})
    back = local(answer_bank(asked["Location"]).headers["Location"])
    assert signed_in.client.get(back)["Location"] == "/checkout/mail/"
    assert sorted(Payment.objects.values_list("status", flat=True)) == ["captured", "failed"]


def test_cards_are_for_those_who_have_them(signed_in: Person, outsider: Person, client: Client) -> None:
    card = save_card(signed_in)
    assert "To pay by card, begin with Free" in client.get("/checkout/").content.decode()
    for somebody in (client, outsider.client):
        answer = somebody.post("/checkout/", FORM | {"pay_with": card.public_id})
        assert answer.status_code == 422
        assert "pay_with" in answer.context["form"].errors
    assert not Enrolment.objects.exists()


def test_who_comes_back_without_paying_is_asked_again(client: Client, peer: Callable[[str], Any]) -> None:
    peer("paypal")
    client.post("/checkout/", FORM)
    enrolment = Enrolment.objects.get()
    page = client.get(f"/checkout/{enrolment.public_id}/returned/")
    assert page.status_code == 200
    assert "Not paid yet" in page.content.decode()
    assert not Subscription.objects.exists()
    assert Client().get(f"/checkout/{enrolment.public_id}/returned/").status_code == 404, "not for strangers"


def test_the_free_plan_needs_no_payment(client: Client) -> None:
    answer = client.post("/checkout/", FORM | {"plan": "free"})
    assert answer["Location"] == "/checkout/mail/"
    assert mailed_key()
    assert not Payment.objects.exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"identity": ""}, "identity"),
        ({"identity": "123"}, "identity"),
        ({"country": "XX"}, "country"),
        ({"country": ""}, "country"),
        ({"email": "no address"}, "email"),
        ({"name": ""}, "name"),
        ({"terms": ""}, "terms"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(client: Client, change: dict[str, str], field: str) -> None:
    answer = client.post("/checkout/", FORM | change)
    assert answer.status_code == 422
    assert field in answer.context["form"].errors
    if field != "email":
        assert 'value="ana@example.com"' in answer.content.decode(), "what was typed is kept"
    assert not User.objects.exists()


def test_unknown_plans_and_those_by_contract_are_refused(client: Client) -> None:
    assert client.get("/checkout/?plan=gold").status_code == 404
    assert client.post("/checkout/", FORM | {"plan": "enterprise"}).status_code == 422


def test_elsewhere_no_tax_id_is_asked_for(client: Client) -> None:
    client.post("/checkout/", FORM | {"plan": "free", "country": "ES", "identity": ""})
    assert Enrolment.objects.get().identity == ""


def test_somebody_elses_address_does_not_give_their_account(client: Client) -> None:
    User.objects.create_user("ana@example.com", "a long password")
    answer = client.post("/checkout/", FORM | {"plan": "free"})
    assert answer.status_code == 409
    assert not Enrolment.objects.exists()


def test_wrong_keys_open_nothing(client: Client) -> None:
    for key in ("act_wrong", " ", "x" * 200):
        assert client.post("/activate/", {"key": key}).status_code == 422
