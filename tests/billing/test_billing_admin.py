"""Staff see all money and write none by hand."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from accounts.models import Organisation
from billing.lifecycle import PaymentStatus
from billing.models import Account, CreditRate, Payment, Plan, Subscription, Transfer, WebhookEvent
from billing.payments import checkout
from tests.billing.money import approve, fund
from tests.people import Person

MODELS = [Account, Transfer, Payment, Subscription, Plan, CreditRate, WebhookEvent]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_lists_and_pages(staff: Person, organisation: Organisation, model: Any) -> None:
    fund(organisation, "5")
    Payment.objects.create(organisation=organisation, purpose="top_up", amount=5)
    Subscription.objects.create(organisation=organisation, plan_id="pro", status="pending")
    WebhookEvent.objects.create(service="paypal", event_ref="WH-1", kind="X", body={})
    base = f"/admin/billing/{model._meta.model_name}/"
    assert staff.client.get(base).status_code == 200
    assert staff.client.get(f"{base}?q=pro").status_code == 200
    row = model.objects.first()
    assert staff.client.get(f"{base}{row.pk}/change/").status_code == 200
    writable = model in {Plan, CreditRate}
    assert staff.client.get(f"{base}add/").status_code == (200 if writable else 403)
    assert staff.client.post(f"{base}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    if model is not Plan:
        assert staff.client.post(f"{base}{row.pk}/change/", {}).status_code == 403


def test_actions_call_the_domain(staff: Person, owner: Person, paypal: str, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert owner.organisation is not None
    payment = checkout.start(
        organisation=owner.organisation,
        purpose="top_up",
        amount="5.00",
        actor=owner.actor,
        idempotency_key=uuid4().hex,
        **checkout.own_pages(),
    )
    approve(payment.approve_url)

    def act(name: str) -> str:
        form = {"action": name, "_selected_action": [str(payment.pk)]}
        return staff.client.post("/admin/billing/payment/", form, follow=True).content.decode()

    assert "once the payment is complete" in act("mail_receipt")
    assert payment.public_id in act("check_at_service")
    payment.refresh_from_db()
    assert payment.status == PaymentStatus.CAPTURED
    assert "sent to 1" in act("mail_receipt")


def test_customers_are_not_staff(owner: Person) -> None:
    assert owner.client.get("/admin/billing/transfer/").status_code == 302
