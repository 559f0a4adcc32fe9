"""PayPal's payouts: batches, their items, what becomes of them, and the notifications of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
import requests

from tests.sandbox.conftest import Check, Receiver, RunningPeer
from tests.sandbox.shop import Shop

Contract = Callable[[str, RunningPeer], Check]
PAYOUTS = "/v1/payments/payouts"


@pytest.fixture
def shop(shared_peer: Callable[[str], RunningPeer]) -> Shop:
    return Shop(shared_peer("paypal"))


def payout(*receivers: str, id: str = "", **change: Any) -> dict[str, Any]:
    items = [
        {
            "recipient_type": "EMAIL",
            "receiver": receiver,
            "amount": {"currency": "USD", "value": "10.00"},
            "sender_item_id": f"i{number}",
            **change,
        }
        for number, receiver in enumerate(receivers or ("owner@example.com",))
    ]
    return {"sender_batch_header": {"sender_batch_id": id or uuid4().hex, "email_subject": "Paid"}, "items": items}


def batch_of(answer: requests.Response) -> str:
    id: str = answer.json()["batch_header"]["payout_batch_id"]
    return id


def decide(shop: Shop, receiver: str, outcome: str) -> None:
    assert shop.peer.post("/sandbox/payouts", json={"receiver": receiver, "outcome": outcome}).ok


def test_a_batch_and_its_items(shop: Shop) -> None:
    decide(shop, "b@example.com", "FAILED")
    made = shop.post(PAYOUTS, payout("a@example.com", "b@example.com"))
    assert (made.status_code, made.json()["batch_header"]["batch_status"]) == (201, "PENDING")
    batch = shop.peer.get(f"{PAYOUTS}/{batch_of(made)}").json()
    assert (batch["batch_header"]["batch_status"], batch["batch_header"]["amount"]["value"]) == ("SUCCESS", "20.00")
    assert [item["transaction_status"] for item in batch["items"]] == ["SUCCESS", "FAILED"]
    item = shop.peer.get(f"/v1/payments/payouts-item/{batch['items'][1]['payout_item_id']}").json()
    assert (item, item["errors"]["name"]) == (batch["items"][1], "RECEIVER_ACCOUNT_LOCKED")


def test_the_senders_id_is_paid_once(shop: Shop) -> None:
    body = payout(id="week-47")
    first = batch_of(shop.post(PAYOUTS, body))
    again = shop.post(PAYOUTS, body, PayPal_Request_Id="other")
    detail = again.json()["details"][0]
    assert (again.status_code, again.json()["name"]) == (400, "USER_BUSINESS_ERROR")
    assert detail["link"][0]["href"] == f"{shop.peer.url}{PAYOUTS}/{first}"


def test_an_unclaimed_item_is_cancelled_once(shop: Shop) -> None:
    decide(shop, "new@example.com", "UNCLAIMED")
    batch = shop.peer.get(f"{PAYOUTS}/{batch_of(shop.post(PAYOUTS, payout('new@example.com')))}").json()
    path = f"/v1/payments/payouts-item/{batch['items'][0]['payout_item_id']}"
    assert shop.post(f"{path}/cancel").json()["transaction_status"] == "RETURNED"
    assert (shop.post(f"{path}/cancel").status_code, shop.peer.get(path).status_code) == (400, 200)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {**payout(), "items": []},
        payout("nobody"),
        payout(recipient_type="PIGEON"),
        payout(amount={"currency": "EUR", "value": "1.00"}),
        payout(amount={"currency": "USD", "value": "-1.00"}),
        payout(amount={"currency": "USD", "value": "0.00"}),
        payout(amount={"currency": "USD", "value": "1.001"}),
    ],
)
def test_bad_requests(shop: Shop, body: dict[str, Any]) -> None:
    answer = shop.post(PAYOUTS, body)
    assert (answer.status_code, answer.json()["name"]) == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize("knob", [{}, {"receiver": "a@example.com", "outcome": "GOLD"}])
def test_bad_knobs(shop: Shop, knob: dict[str, Any]) -> None:
    assert shop.peer.post("/sandbox/payouts", json=knob).status_code == 400


def test_notifications(own_peer: Callable[..., RunningPeer], receiver: Receiver) -> None:
    shop = Shop(own_peer("paypal", "--webhook-url", receiver.url))
    decide(shop, "new@example.com", "UNCLAIMED")
    batch = batch_of(shop.post(PAYOUTS, payout("new@example.com")))
    told = receiver.next().event
    assert (told["event_type"], told["resource"]["payout_batch_id"]) == ("PAYMENT.PAYOUTS-ITEM.UNCLAIMED", batch)
    item = told["resource"]["payout_item_id"]
    assert shop.peer.post(f"/sandbox/payouts-item/{item}", json={"status": "RETURNED"}).ok
    assert shop.peer.post(f"/sandbox/payouts-item/{item}", json={"status": "SUCCESS"}).status_code == 400
    assert receiver.next().event["event_type"] == "PAYMENT.PAYOUTS-ITEM.RETURNED"


def test_answers_as_described(shop: Shop, contract: Contract) -> None:
    check = contract("paypal/payments_payouts_batch_v1.json", shop.peer)
    for outcome in ("SUCCESS", "UNCLAIMED", "FAILED", "DENIED"):
        decide(shop, f"{outcome.lower()}@example.com", outcome)
        made = check(shop.post(PAYOUTS, payout(f"{outcome.lower()}@example.com")))
        batch = check(shop.peer.get(f"{PAYOUTS}/{batch_of(made)}")).json()
        item = f"/v1/payments/payouts-item/{batch['items'][0]['payout_item_id']}"
        check(shop.peer.get(item))
        check(shop.post(f"{item}/cancel"))
    body = payout()
    check(shop.post(PAYOUTS, body))
    check(shop.post(PAYOUTS, body))
    check(shop.post(PAYOUTS, {}))
    check(shop.peer.get(f"{PAYOUTS}/NONE"))
