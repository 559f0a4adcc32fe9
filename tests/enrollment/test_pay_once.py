"""A checkout that is sent twice, left half done, or never come back to: paid once, and the key is mailed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core import mail
from django.db import connections
from django.test import Client

from accounts.models import AuditEntry
from billing import seeds as billing_seeds
from billing.lifecycle import PaymentStatus
from billing.models import Payment
from billing.payments import checkout as payments
from billing.payments.services import service
from enrollment.models import Enrolment
from enrollment.states import EnrolmentStatus
from enrollment.tasks import finish_paid
from pods import seeds as pod_seeds
from tests.billing.money import faulty
from tests.billing.stripe import FAILS_LATER, save_card
from tests.enrollment.test_checkout import FORM, approve, mailed_key
from tests.people import Person

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _plans(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    billing_seeds.seed()
    pod_seeds.seed()


@pytest.fixture
def stripe(peer: Callable[[str], Any]) -> str:
    peer("paypal")
    url: str = peer("stripe").url
    service.cache_clear()
    return url


def pay_again(person: Person | Client, enrolment: Enrolment) -> Any:
    client = person.client if isinstance(person, Person) else person
    return client.post(f"/checkout/{enrolment.public_id}/pay/")


def test_one_form_is_one_enrolment(owner: Person, stripe: str) -> None:
    card = save_card(owner)
    page = owner.client.get("/checkout/?plan=pro")
    form = FORM | {"token": page.context["form"]["token"].value(), "pay_with": card.public_id}
    assert f'value="{form["token"]}"' in page.content.decode()
    for _ in range(2):
        assert owner.client.post("/checkout/", form).status_code == 302
    assert (Enrolment.objects.count(), Payment.objects.count()) == (1, 1)
    changed = owner.client.post("/checkout/", form | {"plan": "team"})
    assert changed.status_code == 409
    assert owner.client.post("/checkout/", {**form, "token": ""}).status_code == 422
    assert Enrolment.objects.count() == 1


def test_a_double_click_of_somebody_new(stripe: str) -> None:
    def click(_number: int) -> int:
        try:
            return Client().post("/checkout/", FORM).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(click, range(2))) == [302, 302]
    assert (Enrolment.objects.count(), Payment.objects.count()) == (1, 1)


def test_a_lost_answer_of_the_bank_is_no_second_payment(owner: Person, stripe: str) -> None:
    """The card is charged, perhaps; the service is away before it says so."""
    card = save_card(owner)
    enrolment = _left_unconfirmed(owner, stripe, card.public_id)
    assert enrolment.payment is not None
    assert (enrolment.status, enrolment.payment.status) == (EnrolmentStatus.STARTED, PaymentStatus.CREATED)
    back = pay_again(owner, enrolment)["Location"]
    assert owner.client.get(back)["Location"] == "/checkout/mail/"
    assert [payment.status for payment in Payment.objects.all()] == [PaymentStatus.CAPTURED]
    assert mailed_key()


def _left_unconfirmed(person: Person, stripe: str, card: str) -> Enrolment:
    with faulty(stripe, "http_500", "/v1/payment_intents/"):
        person.client.post("/checkout/", FORM | {"pay_with": card})
    return Enrolment.objects.select_related("payment").get()


def test_the_reconciler_confirms_it_and_the_key_is_mailed(owner: Person, stripe: str) -> None:
    enrolment = _left_unconfirmed(owner, stripe, save_card(owner).public_id)
    assert enrolment.payment is not None
    payments.complete(enrolment.payment.pk)
    assert not mail.outbox
    for _ in range(2):
        finish_paid()
    enrolment.refresh_from_db()
    assert enrolment.status == EnrolmentStatus.PAID
    assert len(mail.outbox) == 1
    assert mailed_key()


def test_an_order_that_waits_is_shown_again(client: Client, stripe: str) -> None:
    first = client.post("/checkout/", FORM)["Location"]
    enrolment = Enrolment.objects.get()
    assert pay_again(client, enrolment)["Location"] == first
    approve(first)
    back = pay_again(client, enrolment)["Location"]  # in the other tab
    assert client.get(back)["Location"] == "/checkout/mail/"
    assert Payment.objects.count() == 1


def test_who_closes_the_tab_gets_the_key(client: Client, stripe: str) -> None:
    """An order that was given up is approved after all, beside a newer one."""
    approve_url = client.post("/checkout/", FORM)["Location"]
    first = Payment.objects.get()
    payments.give_up(first, "expired")
    pay_again(client, Enrolment.objects.get())
    assert Payment.objects.count() == 2
    finish_paid()
    assert not mail.outbox
    approve(approve_url)
    payments.complete(first.pk)  # as a notification has it done
    finish_paid()
    assert Enrolment.objects.get().status == EnrolmentStatus.PAID
    assert mailed_key()


def test_after_a_declined_card_paypal(owner: Person, stripe: str) -> None:
    refused = owner.client.post("/checkout/", FORM | {"pay_with": save_card(owner, FAILS_LATER).public_id})
    enrolment = Enrolment.objects.get()
    approve_url = pay_again(owner, enrolment)["Location"]
    assert approve_url != refused["Location"]
    back = approve(approve_url)
    assert owner.client.get(back.partition("/checkout/")[1] + back.partition("/checkout/")[2]).status_code == 302
    assert sorted(Payment.objects.values_list("service", "status")) == [("paypal", "captured"), ("stripe", "failed")]


def test_a_tax_number_that_is_known_stays(owner: Person, stripe: str) -> None:
    organisation = owner.organisation
    assert organisation is not None
    organisation.country, organisation.tax_id = "ES", "ESB12345678"
    organisation.save()
    owner.client.post("/checkout/", FORM | {"country": "FR", "identity": ""})
    organisation.refresh_from_db()
    assert (organisation.country, organisation.tax_id) == ("ES", "ESB12345678")
    owner.client.post("/checkout/", FORM | {"token": "another form's"})
    organisation.refresh_from_db()
    assert (organisation.country, organisation.tax_id) == ("EC", FORM["identity"])
    assert AuditEntry.objects.filter(action="organisation.tax_identity").count() == 1
