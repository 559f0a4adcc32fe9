"""Who may give money back, and where: the staff's API and the admin."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.urls import reverse

from accounts.roles import StaffGroup
from accounts.seeds import seed as seed_staff
from billing.models import Invoice, Refund, TaxRate
from tests.billing.invoicing import deliver_invoices, pay, refund
from tests.people import Person, make_user


@pytest.fixture(autouse=True)
def _outbox(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


def ask(person: Person, payment_id: str, amount: Any = "10.00", key: str | None = None, **more: Any) -> Any:
    body = {"payment_id": payment_id, "amount": amount, "reason": "asked for", **more}
    return person.api("post", "admin/refunds", body, {"Idempotency-Key": key or uuid4().hex})


def test_by_api(owner: Person, staff: Person, paypal: str) -> None:
    payment = pay(owner)
    key = uuid4().hex
    first, again = (ask(staff, payment.public_id, key=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert first.json()["status"] == "completed"
    assert first.json()["credit_note"] == Invoice.objects.get(kind="credit_note").number
    assert ask(staff, payment.public_id, amount="11.00", key=key).status_code == 409
    [listed] = staff.api("get", "admin/refunds").json()["items"]
    assert listed == first.json()
    assert owner.api("get", "billing/payments").json()["items"][0]["refunded"]["amount"] == "10.000000"


BAD: list[dict[str, Any]] = [
    *({"amount": amount} for amount in ("0", "-1", "1.001", "25.01", "1e30", "NaN", "ten", None, ["1"])),
    {"reason": ""},
    {"reason": "  "},
    {"reason": "x" * 201},
]


@pytest.mark.parametrize("wrong", BAD, ids=str)
def test_bad_input(owner: Person, staff: Person, paypal: str, wrong: dict[str, Any]) -> None:
    answer = ask(staff, pay(owner).public_id, **wrong)
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"]
    assert not Refund.objects.exists()


def test_who_may(owner: Person, paypal: str) -> None:
    seed_staff()
    payment = pay(owner)
    assert ask(owner, payment.public_id).status_code == 404
    for group, expected in ((StaffGroup.SUPPORT, 403), (StaffGroup.OPERATIONS, 403), (StaffGroup.FINANCE, 201)):
        user = make_user(f"{group}@gpubroker.example", is_staff=True)
        user.groups.add(Group.objects.get(name=group))
        assert ask(Person(user=user), payment.public_id, "1").status_code == expected
    assert ask(Person(user=user), "pay_zzz").status_code == 404
    assert staff_without_key(Person(user=user), payment.public_id) == 422


def staff_without_key(person: Person, payment_id: str) -> int:
    body = {"payment_id": payment_id, "amount": "1", "reason": "x"}
    return int(person.api("post", "admin/refunds", body).status_code)


def test_by_the_admin(owner: Person, staff: Person, paypal: str) -> None:
    payment = pay(owner)
    page = f"/admin/billing/payment/{payment.pk}/"
    assert "Refund" in staff.client.get(f"{page}change/").content.decode()
    url = reverse("admin:billing_payment_refund", args=[payment.pk])
    dialog = staff.client.get(url)
    assert 'value="25.00"' in dialog.content.decode()
    form = {"amount": "5.00", "reason": "asked for", "token": uuid4().hex, "_form_submitted": "True"}
    for _ in range(2):
        assert staff.client.post(url, form).headers["HX-Redirect"] == f"{page}change/"
    assert Refund.objects.get().amount == 5
    staff.client.post(url, {**form, "amount": "99", "token": uuid4().hex})
    assert "left to refund" in staff.client.get(f"{page}change/").content.decode()
    assert "reason" in staff.client.post(url, {**form, "reason": ""}).content.decode()
    assert Refund.objects.count() == 1
    assert owner.client.post(url, form).status_code in {302, 403}


def test_lists_of_staff(owner: Person, staff: Person, paypal: str, mailoutbox: list[Any]) -> None:
    payment = pay(owner)
    refund(payment, "5", staff)
    deliver_invoices()
    assert TaxRate.objects.exists()
    for name in ("invoice", "invoicefile", "refund", "taxrate", "billingdetails"):
        assert staff.client.get(f"/admin/billing/{name}/").status_code == 200
        assert staff.client.get(f"/admin/billing/{name}/?q=GB").status_code == 200
    invoice = Invoice.objects.get(kind="credit_note")
    assert staff.client.get(f"/admin/billing/invoice/{invoice.pk}/change/").status_code == 200
    assert staff.client.post(f"/admin/billing/invoice/{invoice.pk}/delete/", {"post": "yes"}).status_code == 403
    sent = len(mailoutbox)
    form = {"action": "send_again", "_selected_action": [str(invoice.pk)]}
    assert "sent to 1" in staff.client.post("/admin/billing/invoice/", form, follow=True).content.decode()
    assert mailoutbox[sent].attachments[0][0] == f"{invoice.number}.pdf"
    assert staff.api("post", "admin/resend-receipt", {"payment_id": payment.public_id}).json() == {"sent": True}
    assert len(mailoutbox) == sent + 2
