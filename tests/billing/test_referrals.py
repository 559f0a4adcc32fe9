"""A link, a sign-up, a paid month, credits for both: once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from freezegun import freeze_time

from accounts.models import Organisation, User
from billing import lots, referrals, wallet
from billing.models import Chargeback, CreditLot, Payment, Referral, Refund
from lib.clock import now
from notifications.models import Notification
from tests.billing.referring import MONTH, look, paid_month, refer
from tests.people import PASSWORD, Person, join, make_organisation


def credits_of(organisation: Organisation) -> Any:
    """A Decimal, compared with whole numbers."""
    return wallet.balance(organisation, "CREDIT").available


def follow(client: Client, organisation: Organisation) -> Any:
    answer = client.get(f"/r/{referrals.code_of(organisation)}/")
    assert (answer.status_code, answer["Location"]) == (302, "/")
    return answer


def sign_up(client: Client, email: str = "new@example.com") -> Organisation:
    assert client.post("/account/signup/", {"email": email, "password1": PASSWORD}).status_code == 302
    return Organisation.objects.get(memberships__user__email=email)


@pytest.fixture
def newcomer(db: None) -> Organisation:
    organisation = make_organisation("Newcomers")
    join(organisation, "new@newcomers.example", "owner")
    return organisation


def test_link_to_sign_up(organisation: Organisation) -> None:
    client = Client()
    cookie = follow(client, organisation).cookies["referral"]
    assert (cookie["httponly"], cookie["samesite"], cookie["max-age"]) == (True, "Lax", 30 * 86400)
    newcomer = sign_up(client)
    referral = Referral.objects.get(referred=newcomer)
    assert (referral.referrer, referral.status) == (organisation, "signed_up")


def test_link_to_checkout(organisation: Organisation) -> None:
    client = Client()
    follow(client, organisation)
    form = {"plan": "free", "email": "buyer@example.com", "name": "Buyer", "country": "PE", "terms": "on"}
    client.post("/checkout/?plan=free", form | {"token": "a form's"})
    assert Referral.objects.get().referred == Organisation.objects.get(memberships__user__email="buyer@example.com")


def test_codes_are_not_told(organisation: Organisation) -> None:
    client = Client()
    for code in (referrals.code_of(organisation), "nosuchcode", "x", "0" * 200):
        answer = client.get(f"/r/{code}/")
        assert (answer.status_code, answer["Location"], "referral" in answer.cookies) == (302, "/", True), code
    sign_up(client)
    assert not Referral.objects.exists()


def test_the_page_follows_what_changes(owner: Person, organisation: Organisation, newcomer: Organisation) -> None:
    assert "live:referral.changed" in owner.client.get("/billing/referrals/").content.decode()
    refer(organisation, newcomer)
    part = owner.client.get("/billing/referrals/", headers={"HX-Request": "true"}).content.decode()
    assert "Sign-ups by your link" in part
    assert "<html" not in part


@pytest.mark.parametrize("value", ["", "rubbish", "eyJjb2RlIjoiYSJ9:1:2"])
def test_forged_cookie(organisation: Organisation, value: str) -> None:
    client = Client()
    client.cookies["referral"] = value
    sign_up(client)
    assert not Referral.objects.exists()


def test_cookie_ends_after_thirty_days(organisation: Organisation) -> None:
    client = Client()
    with freeze_time(now() - timedelta(days=30, minutes=1)):
        follow(client, organisation)
    sign_up(client)
    assert not Referral.objects.exists()


def test_link_after_sign_up_brings_nobody(organisation: Organisation, newcomer: Organisation) -> None:
    """An organisation that was there before the link is not brought by it."""
    client = Client()
    with freeze_time(now() + timedelta(minutes=1)):
        follow(client, organisation)
        request: Any = client.get("/r/x/").wsgi_request
        person = User.objects.get(email="new@newcomers.example")
        referrals.keep_after_sign_up(request=request, person=person, organisation=newcomer)
    assert not Referral.objects.exists()


def test_both_are_rewarded_once(organisation: Organisation, newcomer: Organisation) -> None:
    referral = refer(organisation, newcomer)
    look()
    assert referral.status == "signed_up"
    payment = paid_month(newcomer, begun=now())
    look()
    referral.refresh_from_db()
    assert (referral.status, referral.payment, referral.due_at) == ("paid", payment, payment.paid_until)
    assert (credits_of(organisation), credits_of(newcomer)) == (0, 0)
    with freeze_time(now() + MONTH + timedelta(minutes=1)):
        look()
        look()
        referral.refresh_from_db()
        assert (referral.status, referral.reward) == ("rewarded", Decimal(10))
        assert (credits_of(organisation), credits_of(newcomer)) == (10, 10)
        expected = now() + referrals.REWARD_LIFE
    for lot in CreditLot.objects.all():
        assert (lot.source, lot.expires_at) == ("earned", expected)
    assert Notification.objects.filter(kind="referral.rewarded").count() == 1  # the referrer has no member in this test


def test_a_top_up_is_no_month(organisation: Organisation, newcomer: Organisation) -> None:
    refer(organisation, newcomer)
    Payment.objects.create(organisation=newcomer, purpose="top_up", amount=500, status="captured", captured_at=now())
    Payment.objects.create(organisation=newcomer, purpose="plan", plan_id="pro", amount=49, status="failed")
    look()
    assert Referral.objects.get().status == "signed_up"


def test_the_sum_is_a_setting(organisation: Organisation, newcomer: Organisation, settings: Any) -> None:
    settings.REFERRAL_CREDITS = Decimal("7.5")
    refer(organisation, newcomer)
    paid_month(newcomer)
    look()
    assert (credits_of(organisation), credits_of(newcomer)) == (Decimal("7.5"), Decimal("7.5"))


def test_a_full_refund_cancels_it(organisation: Organisation, newcomer: Organisation) -> None:
    refer(organisation, newcomer)
    payment = paid_month(newcomer)
    look(1)
    Refund.objects.create(payment=payment, service="paypal", origin="staff", amount=49, status="completed")
    look(1)
    referral = Referral.objects.get()
    assert (referral.status, referral.reason, credits_of(organisation)) == ("refused", "refunded", 0)


def test_a_part_may_go_back(organisation: Organisation, newcomer: Organisation) -> None:
    refer(organisation, newcomer)
    payment = paid_month(newcomer)
    Refund.objects.create(payment=payment, service="paypal", origin="staff", amount=10, status="completed")
    look()
    assert Referral.objects.get().status == "rewarded"


def test_a_refund_on_its_way_is_awaited(organisation: Organisation, newcomer: Organisation) -> None:
    refer(organisation, newcomer)
    payment = paid_month(newcomer)
    refund = Refund.objects.create(payment=payment, service="paypal", origin="staff", amount=49, status="sent")
    look(3)
    assert Referral.objects.get().status == "paid"
    Refund.objects.filter(pk=refund.pk).update(status="failed")
    with freeze_time(now() + timedelta(days=1, minutes=1)):
        look(1)
    assert Referral.objects.get().status == "rewarded"


@pytest.mark.parametrize(("status", "outcome"), [("lost", "refused"), ("under_review", "paid"), ("won", "rewarded")])
def test_chargeback(organisation: Organisation, newcomer: Organisation, status: str, outcome: str) -> None:
    refer(organisation, newcomer)
    payment = paid_month(newcomer)
    Chargeback.objects.create(
        payment=payment, service="stripe", service_ref="dp_1", amount=49, currency="USD", status=status, opened_at=now()
    )
    look()
    assert Referral.objects.get().status == outcome


def test_more_than_a_months_worth_waits(organisation: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(referrals, "PER_MONTH", 2)
    for number in range(3):
        newcomer = make_organisation(f"N{number}")
        refer(organisation, newcomer)
        paid_month(newcomer, begun=datetime(2026, 1, 1, tzinfo=UTC))
    with freeze_time("2026-03-20"):
        look(3)
        assert credits_of(organisation) == 20
        [waiting] = Referral.objects.filter(status="paid")
        assert waiting.due_at == datetime(2026, 4, 1, tzinfo=UTC)
    with freeze_time("2026-04-01 00:05"):
        look()
    assert credits_of(organisation) == 30


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once(organisation: Organisation) -> None:
    newcomers = [make_organisation(f"N{number}") for number in range(4)]
    for newcomer in newcomers:
        refer(organisation, newcomer)
        paid_month(newcomer)

    def work(_: int) -> None:
        try:
            look(3)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))
    look()
    assert credits_of(organisation) == 40
    assert [credits_of(newcomer) for newcomer in newcomers] == [10] * 4
    assert CreditLot.objects.count() == 8


@pytest.mark.django_db(transaction=True)
def test_died_between_grant_and_status(
    organisation: Organisation, newcomer: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    refer(organisation, newcomer)
    paid_month(newcomer)
    look(1)

    def die(*_: object, **__: object) -> bool:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(referrals, "switch_referral", die)
        look(1)
    assert (credits_of(organisation), len(lots.check())) == (0, 0)
    look(1)
    assert (credits_of(organisation), credits_of(newcomer)) == (10, 10)


def test_page_and_api(organisation: Organisation, owner: Person, newcomer: Organisation, viewer: Person) -> None:
    refer(organisation, newcomer)
    paid_month(newcomer)
    look()
    page = owner.client.get("/billing/referrals/").content.decode()
    assert f"/r/{referrals.code_of(organisation)}/" in page
    assert "Rewarded" in page
    assert newcomer.name not in page
    code = owner.api("get", "referrals/code").json()
    assert code["code"] == referrals.code_of(organisation)
    assert (code["earned"]["amount"], code["reward"]["amount"]) == ("10.000000", "10.000000")
    [item] = owner.api("get", "referrals/").json()["items"]
    assert (item["status"], item["earned"]["amount"]) == ("rewarded", "10.000000")
    assert viewer.client.get("/billing/referrals/").status_code == 403
    assert viewer.api("get", "referrals/").status_code == 403
    assert owner.api("get", "referrals/?limit=0").status_code == 422


def test_the_referrer_does_not_read_why_not(
    organisation: Organisation, owner: Person, newcomer: Organisation, staff: Person
) -> None:
    refer(organisation, newcomer)
    Referral.objects.update(status="refused", reason="card")
    page = owner.client.get("/billing/referrals/").content.decode()
    assert "Not eligible" in page
    assert "the same card" not in page
    assert "card" not in owner.api("get", "referrals/").content.decode()
    assert "the same card" in staff.client.get("/admin/billing/referral/").content.decode()
