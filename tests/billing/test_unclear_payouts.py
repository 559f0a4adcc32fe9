"""Payouts of which PayPal does not say whether they have left: staff find out, and the money has one end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests
from django.db import connections

from accounts.models import AuditEntry, Organisation
from billing import reconcile
from billing.models import Payout, PayoutMethod
from billing.payments.base import NewPayout, ServiceDown
from billing.payments.services import payouts, service
from billing.payouts import sending, unclear
from billing.payouts.earnings import earnings_of
from lib.clock import now
from lib.errors import AppError, Conflict
from tests.billing.earning import ask, can_be_paid, earn, later
from tests.billing.money import faulty
from tests.patience import PATIENCE_S
from tests.people import Person

PATH = "/v1/payments/payouts"
API = "admin/payouts/"


@pytest.fixture(autouse=True)
def _later() -> Iterator[None]:
    with later():
        yield
    assert reconcile.check_clearing() == []


@pytest.fixture
def paid(owner: Person, organisation: Organisation, paypal: str) -> Iterator[Payout]:
    """PayPal has paid it; its answer was lost, and it does not say so again."""
    earn(organisation)
    can_be_paid(owner)
    payout = ask(owner)
    with faulty(paypal, "drop_answer_after_create", PATH):
        sending.reconcile_payouts()
    assert requests.post(f"{paypal}/sandbox/payouts", json={"say_where": False}, timeout=5).ok
    with pytest.raises(ServiceDown):
        sending.bring_up(payout.pk)
    yield Payout.objects.get()
    assert requests.post(f"{paypal}/sandbox/payouts", json={"say_where": True}, timeout=5).ok


@pytest.fixture
def refused(owner: Person, organisation: Organisation, paypal: str) -> Payout:
    """PayPal has never heard of it, and refuses it when it is sent again."""
    earn(organisation)
    method = can_be_paid(owner)
    payout = ask(owner)
    with faulty(paypal, "http_500", PATH):
        sending.reconcile_payouts()
    PayoutMethod.objects.filter(pk=method.pk).update(destination="refused@" + "x" * 240)
    with pytest.raises(ServiceDown):
        sending.bring_up(payout.pk)
    return Payout.objects.get()


def batch_of(payout: Payout, paypal: str) -> str:
    """What staff read on PayPal's pages."""
    assert requests.post(f"{paypal}/sandbox/payouts", json={"say_where": True}, timeout=5).ok
    wanted = NewPayout(payout.public_id, payout.method.destination, payout.amount, payout.currency, "")
    return payouts("paypal").send_payout(wanted).ref


def test_staff_find_it_by_the_batch(paid: Payout, staff: Person, organisation: Organisation, paypal: str) -> None:
    assert (paid.status, paid.reason) == ("sent", "unclear")
    page = staff.client.get("/staff/payouts/").content.decode()
    place = f"/staff/payouts/{paid.public_id}/was-paid/"
    assert place in page
    staff.client.post(place, {"ref": batch_of(paid, paypal), "reason": "Seen in the activity"})
    paid.refresh_from_db()
    assert (paid.status, paid.reason, bool(paid.service_ref)) == ("paid", "", True)
    assert earnings_of(organisation).balance == 0
    entry = AuditEntry.objects.get(action="payout.was_paid")
    assert entry.data == {"ref": paid.service_ref, "reason": "Seen in the activity"}


def test_by_the_item_over_the_api(paid: Payout, staff: Person, organisation: Organisation, paypal: str) -> None:
    remote: Any = service("paypal")
    item = remote.api.ask(f"v1/payments/payouts/{batch_of(paid, paypal)}")["items"][0]["payout_item_id"]
    answer = staff.api("POST", f"{API}{paid.public_id}/was-paid", {"ref": item, "reason": "Seen there"})
    assert (answer.status_code, answer.json()["status"]) == (200, "paid")
    listed = staff.api("GET", "admin/payouts?status=paid").json()["items"]
    assert [row["id"] for row in listed] == [paid.public_id]


@pytest.mark.parametrize("ref", ["NOSUCHBATCH12", "../orders/1", "", "x" * 65])
def test_an_id_that_paypal_does_not_know(paid: Payout, staff: Person, ref: str) -> None:
    with pytest.raises(AppError) as refusal:
        unclear.was_paid(paid, ref=ref, reason="Seen there", person=staff.user, actor=staff.actor)
    assert (refusal.value.code, list(refusal.value.fields)) == ("bad_ref", ["ref"])
    paid.refresh_from_db()
    assert (paid.status, paid.reason) == ("sent", "unclear")


def test_the_id_of_another_payout(paid: Payout, outsider: Person, staff: Person, paypal: str) -> None:
    earn(outsider.organisation)
    can_be_paid(outsider)
    other = sending.bring_up(ask(outsider).pk)
    with pytest.raises(AppError) as refusal:
        unclear.was_paid(paid, ref=other.service_ref, reason="Seen there", person=staff.user, actor=staff.actor)
    assert refusal.value.code == "bad_ref"
    assert Payout.objects.get(pk=paid.pk).status == "sent"


def test_it_never_left(refused: Payout, staff: Person, owner: Person, organisation: Organisation) -> None:
    place = f"/staff/payouts/{refused.public_id}/never-left/"
    staff.client.post(place, {"reason": " "})
    assert earnings_of(organisation).available == 0
    staff.client.post(place, {"reason": "Not in the activity"})
    refused.refresh_from_db()
    assert (refused.status, refused.reason, earnings_of(organisation).available) == (
        "failed",
        "never_left",
        Decimal(85),
    )
    assert AuditEntry.objects.get(action="payout.never_left").data == {"reason": "Not in the activity"}
    assert "it never left" in owner.client.get("/billing/earnings/").content.decode()
    assert sending.bring_up(refused.pk).status == "failed"
    with pytest.raises(Conflict):
        unclear.never_left(refused, reason="Twice", person=staff.user, actor=staff.actor)


def test_paypal_says_it_after_all(paid: Payout, staff: Person, paypal: str) -> None:
    """It is asked on: then nobody has to decide, and nobody can."""
    batch_of(paid, paypal)
    assert (sending.bring_up(paid.pk).status, Payout.objects.get().reason) == ("paid", "")
    with pytest.raises(Conflict):
        unclear.never_left(paid, reason="Too late", person=staff.user, actor=staff.actor)


@pytest.mark.django_db(transaction=True)
def test_nobody_asks_beside_a_request_that_is_slow(owner: Person, organisation: Organisation, paypal: str) -> None:
    """A second one that is refused would leave to people what the first may pay yet."""
    earn(organisation)
    can_be_paid(owner)
    payout = ask(owner)

    def work() -> None:
        try:
            sending.bring_up(payout.pk)
        finally:
            connections.close_all()

    slow = {"mode": "slow", "path": PATH, "count": 1, "delay_s": 3.0}
    assert requests.post(f"{paypal}/sandbox/faults", json=slow, timeout=5).ok
    with ThreadPoolExecutor(1) as pool:
        first, deadline = pool.submit(work), time.monotonic() + PATIENCE_S
        while requests.get(f"{paypal}/sandbox/faults", timeout=5).json()["faults"]:  # until it is there
            assert time.monotonic() < deadline
            time.sleep(0.05)
        PayoutMethod.objects.update(destination="refused@" + "x" * 240)
        sending.bring_up(payout.pk)
        first.result()
    payout.refresh_from_db()
    assert (payout.reason, bool(payout.service_ref)) == ("", True)


def test_asked_about_seldom(paid: Payout, caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()
    for minutes, asked in ((5, 0), (31, 1)):
        Payout.objects.update(checked_at=now() - timedelta(minutes=minutes))
        assert sending.reconcile_payouts() == asked
    assert (Payout.objects.get().reason, [line for line in caplog.records if line.levelname == "ERROR"]) == (
        "unclear",
        [],
    )


def test_only_unclear_ones(owner: Person, organisation: Organisation, staff: Person, paypal: str) -> None:
    earn(organisation)
    can_be_paid(owner)
    payout = sending.bring_up(ask(owner).pk)
    for act in ("was-paid", "never-left"):
        body = {"reason": "Because", **({"ref": payout.service_ref} if act == "was-paid" else {})}
        assert staff.api("POST", f"{API}{payout.public_id}/{act}", body).json()["error"]["code"] == "not_unclear"
        assert act not in staff.client.get("/staff/payouts/").content.decode()
