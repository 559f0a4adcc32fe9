"""PayPal pays owners: each payout once, whatever is lost on the way, and what becomes of it is seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import requests

from billing.payments.base import Gone, NewPayout, PayoutService, Refused, ServiceDown
from billing.payments.paypal.webhook import payout_of
from billing.payments.services import NotConfigured, payouts, service
from lib.clock import now
from tests.billing.money import faulty

OWNER = "owner@example.com"
PAYOUTS = "/v1/payments/payouts"


@pytest.fixture
def remote(paypal: str) -> PayoutService:
    return payouts("paypal")


def new_payout(amount: str = "85.00", to: str = OWNER) -> NewPayout:
    return NewPayout(f"pyt_{uuid4().hex}", to, Decimal(amount), "USD", "GPUBroker, week 47")


def decide(paypal: str, receiver: str, outcome: str) -> None:
    """What becomes of payouts to somebody from now on."""
    knob = {"receiver": receiver, "outcome": outcome}
    assert requests.post(f"{paypal}/sandbox/payouts", json=knob, timeout=5).ok


def item_of(remote: PayoutService, ref: str) -> str:
    api: Any = service("paypal")
    found: str = api.api.ask(f"v1/payments/payouts/{ref}")["items"][0]["payout_item_id"]
    return found


def happen(paypal: str, item: str, status: str) -> None:
    assert requests.post(f"{paypal}/sandbox/payouts-item/{item}", json={"status": status}, timeout=5).ok


def test_paid_and_paid_once(remote: PayoutService) -> None:
    wanted = new_payout()
    sent = remote.send_payout(wanted)
    assert (sent.state, sent.reference, sent.amount) == ("pending", wanted.reference, Decimal("85.00"))
    again = remote.send_payout(wanted)
    assert (again.ref, again.state) == (sent.ref, "paid")
    assert remote.fetch_payout(sent.ref) == again
    assert remote.send_payout(new_payout()).ref != sent.ref


def test_a_lost_answer_is_found_again(remote: PayoutService, paypal: str) -> None:
    wanted = new_payout()
    with faulty(paypal, "drop_answer_after_create", PAYOUTS), pytest.raises(ServiceDown):
        remote.send_payout(wanted)
    assert remote.send_payout(wanted).state == "paid"
    with faulty(paypal, "http_500", PAYOUTS), pytest.raises(ServiceDown):
        remote.send_payout(new_payout())


def test_a_repetition_of_which_paypal_says_no_more_is_not_taken_for_a_refusal(
    remote: PayoutService, paypal: str
) -> None:
    """Refused, its money would be the owner's again; and it may have been paid."""
    wanted = new_payout()
    remote.send_payout(wanted)
    assert requests.post(f"{paypal}/sandbox/payouts", json={"say_where": False}, timeout=5).ok
    with pytest.raises(ServiceDown):
        remote.send_payout(wanted)
    assert requests.post(f"{paypal}/sandbox/payouts", json={"say_where": True}, timeout=5).ok
    assert remote.send_payout(wanted).state == "paid"


def test_what_paypal_may_have_forgotten_is_not_asked_for_again(remote: PayoutService) -> None:
    wanted = replace(new_payout(), first_asked=now() - timedelta(days=28))
    assert remote.send_payout(wanted).state == "pending"
    with pytest.raises(ServiceDown):
        remote.send_payout(replace(new_payout(), first_asked=now() - timedelta(days=30)))


def test_another_payout_under_the_same_reference_is_never_taken_for_ours(remote: PayoutService) -> None:
    wanted = new_payout()
    remote.send_payout(wanted)
    for other in (replace(wanted, amount=Decimal("86.00")), replace(wanted, destination="thief@example.com")):
        with pytest.raises(ServiceDown):
            remote.send_payout(other)


@pytest.mark.parametrize(
    ("outcome", "state", "reason"),
    [
        ("PENDING", "pending", ""),
        ("ONHOLD", "pending", "PENDING_RECIPIENT_NON_HOLDING_CURRENCY_PAYMENT_PREFERENCE"),
        ("UNCLAIMED", "pending", "RECEIVER_UNREGISTERED"),
        ("FAILED", "failed", "RECEIVER_ACCOUNT_LOCKED"),
        ("BLOCKED", "failed", "REGULATORY_BLOCKED"),
        ("DENIED", "failed", "INSUFFICIENT_FUNDS"),
        ("RETURNED", "returned", "RECEIVER_UNREGISTERED"),
    ],
)
def test_what_becomes_of_it(remote: PayoutService, paypal: str, outcome: str, state: str, reason: str) -> None:
    to = f"{outcome.lower()}@example.com"
    decide(paypal, to, outcome)
    found = remote.fetch_payout(remote.send_payout(new_payout(to=to)).ref)
    assert (found.state, found.reason) == (state, reason)
    assert found.returned == (found.amount if state == "returned" else 0)


def test_nobody_claims_it_and_it_comes_back(remote: PayoutService, paypal: str) -> None:
    decide(paypal, OWNER, "UNCLAIMED")
    ref = remote.send_payout(new_payout()).ref
    happen(paypal, item_of(remote, ref), "RETURNED")
    decide(paypal, OWNER, "SUCCESS")
    assert (remote.fetch_payout(ref).state, remote.fetch_payout(ref).returned) == ("returned", Decimal("85.00"))


def test_paid_and_taken_back(remote: PayoutService, paypal: str) -> None:
    ref = remote.send_payout(new_payout()).ref
    assert remote.fetch_payout(ref).state == "paid"
    happen(paypal, item_of(remote, ref), "REVERSED")
    assert remote.fetch_payout(ref).state == "returned"


def test_to_an_account_by_its_number(remote: PayoutService) -> None:
    assert remote.fetch_payout(remote.send_payout(new_payout(to="SANDB2XBUYER2")).ref).state == "paid"


def test_refused_and_unknown(remote: PayoutService) -> None:
    for wrong in (new_payout("0.00"), new_payout(to="not@an-address")):
        with pytest.raises(Refused):
            remote.send_payout(wrong)
    with pytest.raises(Gone):
        remote.fetch_payout("NONE/../../orders")


def test_without_keys(settings: Any) -> None:
    settings.PAYPAL_CLIENT_ID = ""
    service.cache_clear()
    with pytest.raises(NotConfigured):
        payouts("paypal")
    service.cache_clear()


def test_which_payout_an_event_is_about() -> None:
    about = {"payout_batch_id": "B1", "payout_item_id": "I1"}
    assert payout_of({"event_type": "PAYMENT.PAYOUTS-ITEM.RETURNED", "resource": about}) == "B1"
    assert payout_of({"event_type": "PAYMENT.CAPTURE.COMPLETED", "resource": about}) == ""
    assert payout_of({"event_type": "PAYMENT.PAYOUTS-ITEM.RETURNED", "resource": "x"}) == ""
