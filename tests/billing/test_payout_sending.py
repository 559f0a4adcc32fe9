"""Payouts on their way: each is paid once whatever is lost, and what did not stay with its owner is earnings again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import requests
from django.db import connections

from accounts.models import Organisation
from billing import ledger, reconcile, reconciliation
from billing.accounts import Kind, account_of
from billing.lifecycle import PayoutStatus
from billing.models import Payout, PayoutMethod, ReconciliationCase, WebhookEvent
from billing.payments.base import ServiceDown
from billing.payments.services import service
from billing.payouts import sending
from billing.payouts.earnings import earnings_of
from lib.clock import now
from notifications.models import Notification
from tests.billing.earning import ask, can_be_paid, earn, later
from tests.billing.money import faulty
from tests.billing.test_stripe_connect import new_payee, onboard, order, reverse
from tests.people import Person


@pytest.fixture(autouse=True)
def _clearing_balances(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    assert reconcile.check_clearing() == []


@pytest.fixture(autouse=True)
def _later() -> Iterator[None]:
    """What the tests earn is no longer held back."""
    with later():
        yield


def decide(paypal: str, receiver: str, outcome: str) -> None:
    """What becomes of payouts to somebody from now on."""
    assert requests.post(f"{paypal}/sandbox/payouts", json={"receiver": receiver, "outcome": outcome}, timeout=5).ok


def items_at(paypal: str, payout: Payout) -> list[dict[str, Any]]:
    """What PayPal has of it, under our name."""
    remote: Any = service("paypal")
    batch = remote.api.ask(f"v1/payments/payouts/{payout.service_ref}")
    assert batch["batch_header"]["sender_batch_header"]["sender_batch_id"] == payout.public_id
    return [item["payout_item"] | {"id": item["payout_item_id"]} for item in batch["items"]]


def happen(paypal: str, payout: Payout, status: str) -> None:
    (item,) = items_at(paypal, payout)
    answer = requests.post(f"{paypal}/sandbox/payouts-item/{item['id']}", json={"status": status}, timeout=5)
    assert answer.ok, answer.text


def hear(payout: Payout) -> None:
    """PayPal's notification is stored and worked on; its signature is tested elsewhere."""
    id, kind = f"WH-{uuid4()}", "PAYMENT.PAYOUTS-ITEM.RETURNED"
    body = {"id": id, "event_type": kind, "resource": {"payout_batch_id": payout.service_ref}}
    event = WebhookEvent.objects.create(service="paypal", event_ref=id, kind=kind, body=body)
    reconcile.process_event(event.pk)


def available(owner: Person) -> Decimal:
    assert owner.organisation is not None
    return earnings_of(owner.organisation).available


def test_asked_for_and_paid(owner: Person, organisation: Organisation, paypal: str) -> None:
    earn(organisation)
    method = can_be_paid(owner)
    payout = ask(owner, "50")
    found = earnings_of(organisation)
    assert (payout.status, found.set_aside, found.available) == (PayoutStatus.NEW, Decimal(50), Decimal(35))
    assert sending.reconcile_payouts() == 1
    payout.refresh_from_db()
    assert (payout.status, bool(payout.service_ref)) == (PayoutStatus.SENT, True)
    assert sending.reconcile_payouts() == 0  # asked only just now
    assert sending.bring_up(payout.pk).status == PayoutStatus.PAID
    (item,) = items_at(paypal, payout)
    assert (item["receiver"], item["amount"]["value"]) == (method.destination, "50.00")
    found = earnings_of(organisation)
    assert (found.balance, found.set_aside) == (Decimal(35), Decimal(0))
    clearing = account_of(None, Kind.CLEARING, "USD", label="paypal")
    assert clearing.credits_posted - clearing.debits_posted == 50


@pytest.mark.parametrize("outcome", ["FAILED", "DENIED"])
def test_refused_comes_back_to_the_balance(
    owner: Person, organisation: Organisation, paypal: str, outcome: str
) -> None:
    earn(organisation)
    decide(paypal, can_be_paid(owner).destination, outcome)
    payout = sending.bring_up(sending.bring_up(ask(owner).pk).pk)
    assert (payout.status, available(owner)) == (PayoutStatus.FAILED, Decimal(85))
    assert [note.kind for note in Notification.objects.filter(user=owner.user)] == ["payout.failed"]


@pytest.mark.parametrize("fault", ["http_500", "drop_answer_after_create"])
def test_paypal_is_away_and_comes_back(owner: Person, organisation: Organisation, paypal: str, fault: str) -> None:
    """Whether it heard us or not: asked again by the same name, it pays once."""
    earn(organisation)
    can_be_paid(owner)
    payout = ask(owner)
    with faulty(paypal, fault, "/v1/payments/payouts"):
        assert sending.reconcile_payouts() == 1
    payout.refresh_from_db()
    assert (payout.status, payout.service_ref, available(owner)) == (PayoutStatus.SENT, "", Decimal(0))
    for _ in range(2):
        Payout.objects.update(checked_at=now() - timedelta(minutes=5))
        sending.reconcile_payouts()
    payout.refresh_from_db()
    assert (payout.status, len(items_at(paypal, payout))) == (PayoutStatus.PAID, 1)
    assert earnings_of(organisation).balance == 0


def test_a_refusal_after_a_lost_answer_gives_nothing_back(
    owner: Person, organisation: Organisation, paypal: str
) -> None:
    """PayPal may have paid the first time: a person looks."""
    earn(organisation)
    method = can_be_paid(owner)
    payout = ask(owner)
    with faulty(paypal, "http_500", "/v1/payments/payouts"):
        sending.reconcile_payouts()
    PayoutMethod.objects.filter(pk=method.pk).update(destination="refused@" + "x" * 240)
    with pytest.raises(ServiceDown):
        sending.bring_up(payout.pk)
    payout.refresh_from_db()
    assert (payout.status, available(owner)) == (PayoutStatus.SENT, Decimal(0))


def test_one_that_fails_holds_up_no_other(owner: Person, outsider: Person, paypal: str) -> None:
    for person in (owner, outsider):
        earn(person.organisation)
        can_be_paid(person)
    broken, whole = ask(owner), ask(outsider)
    Payout.objects.filter(pk=broken.pk).update(kind="usdc")  # its method is of another kind: nobody has written this
    assert sending.reconcile_payouts() == 2
    whole.refresh_from_db()
    assert whole.status == PayoutStatus.SENT


@pytest.mark.parametrize(("first", "then"), [("UNCLAIMED", "RETURNED"), ("SUCCESS", "REVERSED")])
def test_what_came_back_is_earnings_again(
    owner: Person, organisation: Organisation, paypal: str, first: str, then: str
) -> None:
    """Before we knew that it was paid, or long after; heard by PayPal's notification, twice."""
    earn(organisation)
    decide(paypal, can_be_paid(owner).destination, first)
    payout = sending.bring_up(sending.bring_up(ask(owner).pk).pk)
    assert (payout.status, available(owner)) == ("sent" if first == "UNCLAIMED" else "paid", Decimal(0))
    happen(paypal, payout, then)
    for _ in range(2):
        hear(payout)
        payout.refresh_from_db()
        assert (payout.status, payout.returned, available(owner)) == (PayoutStatus.RETURNED, Decimal(85), Decimal(85))


def test_looked_at_again_when_it_may_have_come_back(owner: Person, organisation: Organisation, paypal: str) -> None:
    earn(organisation)
    can_be_paid(owner)
    payout = sending.bring_up(sending.bring_up(ask(owner).pk).pk)
    happen(paypal, payout, "REVERSED")
    assert sending.reconcile_payouts() == 0  # once a day
    Payout.objects.update(checked_at=now() - timedelta(days=2))
    assert sending.reconcile_payouts() == 1
    payout.refresh_from_db()
    assert payout.status == PayoutStatus.RETURNED


def test_reconciliation_sees_what_came_back_unheard(owner: Person, organisation: Organisation, paypal: str) -> None:
    earn(organisation)
    can_be_paid(owner)
    payout = sending.bring_up(sending.bring_up(ask(owner).pk).pk)
    Payout.objects.update(finished_at=now() - timedelta(hours=1))
    assert reconciliation.run("paypal").differences == 0
    happen(paypal, payout, "REVERSED")
    assert reconciliation.run("paypal").differences == 1
    case = ReconciliationCase.objects.get(kind="payout")
    assert (case.subject, case.ours, case.theirs) == (payout.public_id, "85 USD", "0 USD")
    sending.bring_up(payout.pk)
    Payout.objects.update(finished_at=now() - timedelta(hours=1))
    assert reconciliation.run("paypal").differences == 0
    case.refresh_from_db()
    assert case.resolved_at is not None


def test_a_part_came_back_from_stripe(owner: Person, organisation: Organisation, stripe: str) -> None:
    order("500")  # money of ours at Stripe
    ref = new_payee()
    onboard(ref)
    earn(organisation)
    can_be_paid(owner, kind="stripe", destination=ref, display="Stripe")
    payout = sending.bring_up(ask(owner).pk)
    assert payout.status == PayoutStatus.PAID
    for part, back in (("10.00", "10"), ("25.50", "35.5")):
        reverse(payout.service_ref, int(Decimal(part) * 100))
        for _ in range(2):
            payout = sending.bring_up(payout.pk)
            assert (payout.status, available(owner)) == (PayoutStatus.PAID, Decimal(back))
    reverse(payout.service_ref)
    assert sending.bring_up(payout.pk).status == PayoutStatus.RETURNED
    assert available(owner) == 85


def test_an_unknown_account_at_stripe(owner: Person, organisation: Organisation, stripe: str) -> None:
    order("500")
    earn(organisation)
    can_be_paid(owner, kind="stripe", destination="acct_unknown", display="Stripe")
    payout = sending.bring_up(ask(owner).pk)
    assert (payout.status, payout.reason, available(owner)) == ("failed", "no_such_account", Decimal(85))


@pytest.mark.django_db(transaction=True)
def test_two_workers_pay_once(owner: Person, organisation: Organisation, paypal: str) -> None:
    earn(organisation)
    can_be_paid(owner)
    payout = ask(owner)

    def work(_n: int) -> None:
        try:
            sending.bring_up(payout.pk)
        finally:
            connections.close_all()

    for _ in range(2):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, range(2)))
    payout.refresh_from_db()
    assert (payout.status, len(items_at(paypal, payout))) == (PayoutStatus.PAID, 1)
    assert earnings_of(organisation).balance == 0
    assert ledger.check() == []
