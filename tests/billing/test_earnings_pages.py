"""The pages of earnings: the owner's, by its forms, and the staff's; roles, empty states, the API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.utils import formats, translation

from accounts.models import Organisation, User
from billing import wallet
from billing.models import BankFile, PayeeProfile, Payout, PayoutMethod
from billing.payouts import payees
from billing.payouts.earnings import earnings_of
from lib.secrets import seal
from tests.billing.earning import ask, can_be_paid, earn, later
from tests.people import Person

PAGE, STAFF = "/billing/earnings/", "/staff/payouts/"
PAYEE = {"legal_name": "Andes Vision", "country": "EC", "tax_form": "w8ben", "pays_weekly": "on"}


@pytest.fixture(autouse=True)
def _later() -> Iterator[None]:
    with later():
        yield


def shown(answer: Any) -> str:
    text: str = answer.content.decode()
    return text


def confirm(staff: Person, organisation: Organisation, act: str) -> None:
    """By the form as it stands on the page."""
    start = shown(staff.client.get(STAFF)).split(f"{STAFF}payees/{organisation.public_id}/{act}/")[1]
    digest = start.split('name="shown" value="')[1].split('"')[0]
    staff.client.post(f"{STAFF}payees/{organisation.public_id}/{act}/", {"shown": digest})


def test_nothing_earned_yet_says_how(owner: Person) -> None:
    page = shown(owner.client.get(PAGE))
    assert "Nothing earned yet" in page
    assert 'href="/nodes/"' in page
    assert "data-chart" not in page


def test_figures_chart_and_table(owner: Person, organisation: Organisation) -> None:
    earn(organisation)
    page = owner.client.get(PAGE)
    assert "$85.00" in shown(page)
    assert "85 % of what renters paid" in shown(page)
    assert "for 7 days" in shown(page)
    assert "Before money can leave" in shown(page)
    assert page.context["earned"] == 85
    assert len(page.context["chart"]["days"]) == 30
    assert sum(Decimal(value) for value in page.context["chart"]["earned"]) == 85
    assert shown(page).count('<td><time datetime="20') == 30  # the days of the table beside the chart
    fragment = shown(owner.client.get(PAGE, headers={"HX-Request": "true"}))
    assert "$85.00" in fragment
    assert "<html" not in fragment


def test_from_nothing_to_a_payout_by_the_forms(owner: Person, organisation: Organisation, staff: Person) -> None:
    earn(organisation)
    answer = owner.client.post(PAGE + "payout/", {"token": uuid4().hex})
    assert answer.status_code == 422
    assert "legal name" in shown(answer)
    assert owner.client.post(PAGE + "payee/", {**PAYEE, "country": ""}).status_code == 422
    assert owner.client.post(PAGE + "payee/", PAYEE).status_code == 302
    bank = {"holder": "Andes Vision", "iban": "DE89370400440532013000", "bic": "COBADEFF"}
    wrong = owner.client.post(PAGE + "methods/bank/", {**bank, "iban": "DE00"})
    assert wrong.status_code == 422
    assert wrong.context["bank_form"].errors["iban"]
    assert owner.client.post(PAGE + "methods/bank/", bank).status_code == 302
    for act in ("tax", "identity"):
        confirm(staff, organisation, act)
    token = uuid4().hex
    for _ in range(2):  # sent twice
        answer = owner.client.post(PAGE + "payout/", {"amount": "50", "token": token}, follow=True)
        assert "A payout of 50.00 USD has begun." in shown(answer)
    payout = Payout.objects.get()
    assert (payout.amount, payout.kind) == (Decimal(50), "bank")
    assert "0532013000" not in shown(owner.client.get(PAGE))
    assert owner.client.post(f"{PAGE}payouts/{payout.public_id}/cancel/").status_code == 302
    assert earnings_of(organisation).available == 85


def test_a_wrong_amount_stands_beside_the_field(owner: Person, organisation: Organisation) -> None:
    earn(organisation)
    can_be_paid(owner)
    answer = owner.client.post(PAGE + "payout/", {"amount": "85.01", "token": uuid4().hex})
    assert answer.status_code == 422
    assert answer.context["payout_form"].errors["amount"]
    answer = owner.client.post(PAGE + "move/", {"amount": "nine", "token": uuid4().hex})
    assert answer.context["move_form"].errors["amount"]
    assert owner.client.post(PAGE + "methods/cheque/", {}).status_code == 404


def test_below_the_smallest_payout_the_button_says_why(owner: Person, organisation: Organisation) -> None:
    can_be_paid(owner)
    earn(organisation, "11")
    page = shown(owner.client.get(PAGE))
    assert "$9.35 can be paid out now: payouts begin at $10.00." in page
    assert 'disabled aria-describedby="too-little"' in page
    earn(organisation, "1")
    page = shown(owner.client.get(PAGE))
    assert "payouts begin at" not in page
    assert "too-little" not in page


def test_times_are_as_the_owner_reads_them(owner: Person, organisation: Organisation, settings: Any) -> None:
    """In their language and their zone, which is named nowhere."""
    earn(organisation)
    settings.PAYOUT_METHOD_DELAY = timedelta(days=1)
    User.objects.filter(pk=owner.user.pk).update(time_zone="America/Guayaquil", locale="es")
    answer = owner.client.post(PAGE + "methods/paypal/", {"email": "a@andes.example"}, follow=True)
    method = PayoutMethod.objects.get()
    PayoutMethod.objects.update(payable_from=datetime(2099, 11, 23, 2, 10, tzinfo=UTC))
    with translation.override("es"):
        there = formats.date_format(method.payable_from.astimezone(ZoneInfo("America/Guayaquil")), "j b Y, H:i")
    assert there in shown(answer)
    assert "22 nov 2099, 21:10" in shown(owner.client.get(PAGE))
    assert "UTC</div>" not in shown(owner.client.get(PAGE))


def test_into_the_wallet(owner: Person, organisation: Organisation) -> None:
    earn(organisation)
    answer = owner.client.post(PAGE + "move/", {"token": uuid4().hex}, follow=True)
    assert "85.00 USD are in your wallet" in shown(answer)
    assert wallet.balance(organisation, "USD").available == 85
    assert "Moved from earnings" in shown(owner.client.get("/billing/"))


def test_default_and_remove(owner: Person) -> None:
    can_be_paid(owner)
    second = can_be_paid(owner, is_default=False)
    assert owner.client.post(f"{PAGE}methods/{second.public_id}/default/").status_code == 302
    assert PayoutMethod.objects.get(is_default=True) == second
    assert owner.client.post(f"{PAGE}methods/{second.public_id}/remove/").status_code == 302
    assert PayoutMethod.objects.get(removed_at=None).is_default


def test_to_stripe_and_back(owner: Person, organisation: Organisation, stripe: str) -> None:
    PayeeProfile.objects.create(organisation=organisation, legal_name="Andes Vision", country="US", tax_form="w9")
    answer = owner.client.post(PAGE + "methods/stripe/")
    assert answer.status_code == 302
    assert answer["Location"].startswith(stripe)
    assert owner.client.get(PAGE + "stripe/").status_code == 302
    assert not PayoutMethod.objects.get().is_ready


def test_who_may(owner: Person, billing_member: Person, member: Person, viewer: Person) -> None:
    earn(owner.organisation)
    can_be_paid(owner)
    for person, status in ((billing_member, 200), (member, 403), (viewer, 403)):
        assert person.client.get(PAGE).status_code == status
        assert person.api("get", "payouts/").status_code == status
    headers = {"Idempotency-Key": uuid4().hex}
    assert member.api("post", "payouts/", {}, headers).status_code == 403
    assert billing_member.api("post", "payouts/", {"amount": "20"}, headers).status_code == 201


def test_the_api(owner: Person, organisation: Organisation, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    earn(organisation)
    stated = {"legal_name": "Andes Vision", "country": "EC", "tax_form": "w8ben"}
    told = owner.api("put", "payouts/payee", stated).json()
    assert [gap["field"] for gap in told["missing"]] == ["tax_form", "identity"]
    key = {"Idempotency-Key": uuid4().hex}
    refused = owner.api("post", "payouts/", {"amount": "20"}, key)
    assert (refused.status_code, set(refused.json()["error"]["fields"])) == (409, {"tax_form", "identity"})
    body = {"kind": "bank", "holder": "Andes", "iban": "DE89370400440532013000", "bic": "COBADEFF"}
    assert owner.api("post", "payouts/methods", body).json()["method"]["display"] == "DE ···· 3000"
    assert owner.api("post", "payouts/methods", {**body, "bic": "x"}).status_code == 422
    method = can_be_paid(owner, is_default=False)
    made = owner.api("post", "payouts/", {"amount": "20", "method": method.public_id}, key)
    assert owner.api("post", "payouts/", {"amount": "20", "method": method.public_id}, key).json() == made.json()
    id = made.json()["id"]
    assert owner.api("get", "payouts/").json()["items"] == [owner.api("get", f"payouts/{id}").json()]
    told = owner.api("get", "payouts/earnings").json()
    assert (told["available"]["amount"], told["set_aside"]["amount"]) == ("65.000000", "20.000000")
    assert owner.api("post", f"payouts/{id}/cancel").json()["status"] == "cancelled"
    assert owner.api("post", f"payouts/{id}/cancel").status_code == 409
    moved = owner.api("post", "payouts/to-wallet", {"amount": "5"}, {"Idempotency-Key": uuid4().hex})
    assert moved.json() == {"moved": {"amount": "5.000000", "currency": "USD"}}
    for wrong in ("0", "-1", "1e30", "0.001"):
        answer = owner.api("post", "payouts/", {"amount": wrong}, {"Idempotency-Key": uuid4().hex})
        assert answer.status_code == 422
    assert owner.api("delete", f"payouts/methods/{method.public_id}").status_code == 204


def test_staff_approve_export_and_mark(owner: Person, organisation: Organisation, staff: Person, settings: Any) -> None:
    settings.PAYOUT_APPROVAL_ABOVE = Decimal(10)
    earn(organisation)
    sealed = seal("FR1420041010050500013M02606")
    can_be_paid(owner, kind="bank", destination="", sealed_account=sealed, bic="BNPAFRPP", holder="Andes")
    payout = ask(owner)
    assert payout.public_id in shown(staff.client.get(STAFF))
    answer = staff.client.post(STAFF + "bank-file/", follow=True)
    assert "No payout by bank is due." in shown(answer)
    staff.client.post(f"{STAFF}{payout.public_id}/approve/")
    staff.client.post(STAFF + "bank-file/")
    file = BankFile.objects.get()
    download = staff.client.get(f"{STAFF}bank-file/{file.public_id}.xml")
    assert download["Content-Type"] == "application/xml"
    assert payout.public_id.replace("_", "-") in shown(download)
    for wrong in ("", "\x00", "x" * 81):
        answer = staff.client.post(f"{STAFF}{payout.public_id}/returned/", {"reason": wrong}, follow=True)
        assert "in up to 80 characters" in shown(answer)
    staff.client.post(f"{STAFF}{payout.public_id}/paid/")
    payout.refresh_from_db()
    assert payout.status == "paid"
    staff.client.post(f"{STAFF}{payout.public_id}/returned/", {"reason": "AC04"})
    payout.refresh_from_db()
    assert (payout.status, earnings_of(organisation).balance) == ("returned", Decimal(85))
    assert staff.client.post(f"{STAFF}{payout.public_id}/eat/").status_code == 404
    assert owner.client.get(STAFF).status_code == 404


def test_staff_hold_refuse_and_try_again(owner: Person, organisation: Organisation, staff: Person, paypal: str) -> None:
    earn(organisation)
    can_be_paid(owner)
    payout = ask(owner, "20")
    staff.client.post(f"{STAFF}payees/{organisation.public_id}/hold/", {"reason": "A look at your renters"})
    assert "A look at your renters" in shown(owner.client.get(PAGE))
    staff.client.post(f"{STAFF}{payout.public_id}/retry/")
    payout.refresh_from_db()
    assert payout.status == "new"
    staff.client.post(f"{STAFF}payees/{organisation.public_id}/let-go/")
    assert payees.missing(payees.profile_of(organisation)) == []
    staff.client.post(f"{STAFF}{payout.public_id}/retry/")
    payout.refresh_from_db()
    assert payout.status == "sent"
    other = ask(owner, "20")
    staff.client.post(f"{STAFF}{other.public_id}/refuse/")
    other.refresh_from_db()
    assert (other.status, other.reason) == ("cancelled", "by_staff")
