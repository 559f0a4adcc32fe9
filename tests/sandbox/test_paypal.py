"""PayPal: tokens, orders, captures, refunds, webhooks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.sandbox.conftest import Check, Notification, Receiver, RunningPeer
from tests.sandbox.shop import CANCEL, RETURN, Shop, order_body

Contract = Callable[[str, RunningPeer], Check]


@pytest.fixture
def shop(shared_peer: Callable[[str], RunningPeer]) -> Shop:
    return Shop(shared_peer("paypal"))


@pytest.fixture
def told(own_peer: Callable[..., RunningPeer], receiver: Receiver) -> tuple[Shop, Receiver]:
    """A shop with a webhook address."""
    return Shop(own_peer("paypal", "--webhook-url", receiver.url)), receiver


def issue(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["details"][0]["issue"]


class TestToken:
    @pytest.mark.parametrize("auth", [("client", "wrong"), ("", ""), None])
    def test_needs_the_secret(self, shop: Shop, auth: tuple[str, str] | None) -> None:
        form = {"grant_type": "client_credentials"}
        answer = requests.post(f"{shop.peer.url}/v1/oauth2/token", data=form, auth=auth, timeout=5)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")

    def test_everything_else_needs_the_token(self, shop: Shop) -> None:
        for headers in ({}, {"Authorization": "Bearer no"}):
            answer = shop.peer.post("/v2/checkout/orders", json=order_body(), headers=headers)
            assert (answer.status_code, answer.json()["name"]) == (401, "AUTHENTICATION_FAILURE")


class TestOrder:
    def test_created_approved_captured(self, shop: Shop) -> None:
        made = shop.order()
        assert (made.status_code, made.json()["status"]) == (201, "CREATED")
        id = made.json()["id"]
        approve = next(link["href"] for link in made.json()["links"] if link["rel"] == "approve")
        assert approve == f"{shop.peer.url}/checkoutnow?token={id}"
        sent_back = shop.approve(id)
        assert sent_back.status_code == 303
        assert sent_back.headers["location"] == f"{RETURN}&token={id}&PayerID=SANDB2XBUYER2"
        assert shop.peer.get(f"/v2/checkout/orders/{id}").json()["status"] == "APPROVED"
        captured = shop.capture(id).json()
        capture = captured["purchase_units"][0]["payments"]["captures"][0]
        assert (captured["status"], capture["status"], capture["custom_id"]) == ("COMPLETED", "COMPLETED", "order-1")
        parts = capture["seller_receivable_breakdown"]
        assert [parts[name]["value"] for name in ("gross_amount", "paypal_fee", "net_amount")] == [
            "25.00",
            "1.36",
            "23.64",
        ]
        assert shop.peer.get(f"/v2/payments/captures/{capture['id']}").json()["amount"]["value"] == "25.00"

    def test_the_wallet_source_asks_for_the_payer(self, shop: Shop) -> None:
        body = order_body()
        body["payment_source"] = {"paypal": {"experience_context": body.pop("application_context")}}
        made = shop.post("/v2/checkout/orders", body).json()
        assert made["status"] == "PAYER_ACTION_REQUIRED"
        assert "payer-action" in {link["rel"] for link in made["links"]}
        assert shop.approve(made["id"]).headers["location"].startswith(RETURN)

    def test_capture_before_approval_and_twice(self, shop: Shop) -> None:
        id = shop.order().json()["id"]
        assert issue(shop.capture(id)) == (422, "ORDER_NOT_APPROVED")
        shop.approve(id)
        assert shop.capture(id).status_code == 201
        assert issue(shop.capture(id)) == (422, "ORDER_ALREADY_CAPTURED")

    def test_cancel_leaves_the_order_open(self, shop: Shop) -> None:
        id = shop.order().json()["id"]
        sent_back = shop.approve(id, "cancel")
        assert sent_back.headers["location"] == f"{CANCEL}?token={id}"
        assert shop.peer.get(f"/v2/checkout/orders/{id}").json()["status"] == "CREATED"

    def test_a_declined_instrument(self, shop: Shop) -> None:
        id = shop.order().json()["id"]
        shop.approve(id)
        mock = json.dumps({"mock_application_codes": "INSTRUMENT_DECLINED"})
        assert issue(shop.capture(id, PayPal_Mock_Response=mock)) == (422, "INSTRUMENT_DECLINED")
        assert shop.capture(id).status_code == 201

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("0.00", (422, "CANNOT_BE_ZERO_OR_NEGATIVE")),
            ("-5.00", (422, "CANNOT_BE_ZERO_OR_NEGATIVE")),
            ("1.001", (422, "DECIMAL_PRECISION")),
            ("1e3", (400, "INVALID_PARAMETER_SYNTAX")),
            (25, (400, "INVALID_PARAMETER_SYNTAX")),
            ("9999999999999999.00", (422, "MAX_VALUE_EXCEEDED")),
        ],
    )
    def test_bad_amounts(self, shop: Shop, value: Any, expected: tuple[int, str]) -> None:
        answer = shop.order(value)
        assert issue(answer) == expected
        assert answer.json()["details"][0]["field"] == "/purchase_units/@0/amount/value"
        assert re.fullmatch(r"[0-9a-f]{13}", answer.json()["debug_id"])

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({}, (400, "MISSING_REQUIRED_PARAMETER")),
            ({"intent": "CAPTURE"}, (400, "MISSING_REQUIRED_PARAMETER")),
            ({**order_body(), "intent": "GIFT"}, (400, "INVALID_PARAMETER_VALUE")),
            (order_body(amount={"currency_code": "EUR", "value": "1.00"}), (422, "INVALID_CURRENCY_CODE")),
            (order_body(amount={"value": "1.00"}), (400, "MISSING_REQUIRED_PARAMETER")),
            (order_body(description=""), (400, "INVALID_STRING_LENGTH")),
            ({**order_body(), "purchase_units": order_body()["purchase_units"] * 2}, (422, "DUPLICATE_REFERENCE_ID")),
            (
                {**order_body(), "application_context": {"return_url": "javascript:alert(1)"}},
                (400, "INVALID_PARAMETER_SYNTAX"),
            ),
        ],
    )
    def test_bad_requests(self, shop: Shop, body: dict[str, Any], expected: tuple[int, str]) -> None:
        assert issue(shop.post("/v2/checkout/orders", body)) == expected

    def test_parts_must_add_up(self, shop: Shop) -> None:
        amount = {"currency_code": "USD", "value": "10.00"}
        parts = {
            "item_total": {"currency_code": "USD", "value": "9.00"},
            "tax_total": {"currency_code": "USD", "value": "2.00"},
        }
        wrong = shop.post("/v2/checkout/orders", order_body(amount={**amount, "breakdown": parts}))
        assert issue(wrong) == (422, "AMOUNT_MISMATCH")
        parts["discount"] = {"currency_code": "USD", "value": "1.00"}
        assert shop.post("/v2/checkout/orders", order_body(amount={**amount, "breakdown": parts})).status_code == 201

    def test_unknown_and_unreadable(self, shop: Shop) -> None:
        assert issue(shop.capture("NONE")) == (404, "INVALID_RESOURCE_ID")
        broken = shop.peer.post("/v2/checkout/orders", data=b"{")
        assert issue(broken) == (400, "MALFORMED_REQUEST_JSON")


class TestRequestId:
    def test_the_same_request_is_answered_again(self, shop: Shop) -> None:
        first, again = shop.order(PayPal_Request_Id="a"), shop.order(PayPal_Request_Id="a")
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json()["id"] == again.json()["id"]
        assert shop.order(PayPal_Request_Id="b").json()["id"] != first.json()["id"]

    def test_another_body_with_the_same_id_is_refused(self, shop: Shop) -> None:
        shop.order(PayPal_Request_Id="a")
        assert issue(shop.order("26.00", PayPal_Request_Id="a")) == (422, "DUPLICATE_REQUEST_ID")

    def test_a_capture_is_made_once(self, shop: Shop) -> None:
        id = shop.order().json()["id"]
        assert shop.capture(id, PayPal_Request_Id="c").status_code == 422
        shop.approve(id)
        first, again = shop.capture(id, PayPal_Request_Id="c"), shop.capture(id, PayPal_Request_Id="c")
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json()["purchase_units"] == again.json()["purchase_units"]

    def test_it_survives_a_restart(self, own_peer: Callable[..., RunningPeer]) -> None:
        shop = Shop(own_peer("paypal"))
        first = shop.order(PayPal_Request_Id="a").json()["id"]
        shop.peer.stop()
        again = Shop(own_peer("paypal"))
        assert again.order(PayPal_Request_Id="a").json()["id"] == first

    def test_an_answer_lost_on_the_way_is_found_by_its_id(self, shop: Shop) -> None:
        shop.peer.fault("drop_answer_after_create", count=1)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            shop.order(PayPal_Request_Id="a")
        assert shop.order(PayPal_Request_Id="a").status_code == 200


class TestRefund:
    def test_in_parts_and_never_more_than_came_in(self, shop: Shop) -> None:
        capture = shop.paid("25.00")
        path = f"/v2/payments/captures/{capture['id']}"
        part = shop.refund(capture, {"amount": {"currency_code": "USD", "value": "10.00"}})
        assert (part.status_code, part.json()["status"], part.json()["amount"]["value"]) == (201, "COMPLETED", "10.00")
        assert shop.peer.get(path).json()["status"] == "PARTIALLY_REFUNDED"
        much = shop.refund(capture, {"amount": {"currency_code": "USD", "value": "15.01"}})
        assert issue(much) == (422, "REFUND_AMOUNT_EXCEEDED")
        rest = shop.refund(capture).json()
        assert (rest["amount"]["value"], rest["seller_payable_breakdown"]["total_refunded_amount"]["value"]) == (
            "15.00",
            "25.00",
        )
        assert shop.peer.get(path).json()["status"] == "REFUNDED"
        assert issue(shop.refund(capture)) == (422, "CAPTURE_FULLY_REFUNDED")
        assert shop.peer.get(f"/v2/payments/refunds/{rest['id']}").json() == rest

    def test_bad_refunds(self, shop: Shop) -> None:
        capture = shop.paid()
        euro = shop.refund(capture, {"amount": {"currency_code": "EUR", "value": "1.00"}})
        assert issue(euro) == (422, "REFUND_CAPTURE_CURRENCY_MISMATCH")
        none = shop.refund(capture, {"amount": {"currency_code": "USD", "value": "0.00"}})
        assert issue(none) == (422, "CANNOT_BE_ZERO_OR_NEGATIVE")
        assert issue(shop.refund({"id": "NONE"})) == (404, "INVALID_RESOURCE_ID")

    def test_once_by_request_id(self, shop: Shop) -> None:
        capture = shop.paid()
        body = {"amount": {"currency_code": "USD", "value": "5.00"}}
        first, again = (shop.refund(capture, body, PayPal_Request_Id="r") for _ in range(2))
        assert first.json()["id"] == again.json()["id"]


class TestWebhooks:
    def verify(self, shop: Shop, note: Notification, raw: bytes | None = None, **change: str) -> str:
        """As a shop should: the event goes in as the bytes that came."""
        fields = {
            "auth_algo": note.headers["paypal-auth-algo"],
            "cert_url": note.headers["paypal-cert-url"],
            "transmission_id": note.headers["paypal-transmission-id"],
            "transmission_sig": note.headers["paypal-transmission-sig"],
            "transmission_time": note.headers["paypal-transmission-time"],
            "webhook_id": "WEBHOOK1",
            **change,
        }
        body = json.dumps(fields)[:-1].encode() + b', "webhook_event": ' + (raw or note.raw) + b"}"
        headers = {**shop.peer.headers, "Content-Type": "application/json"}
        answer = shop.peer.post("/v1/notifications/verify-webhook-signature", data=body, headers=headers)
        return str(answer.json()["verification_status"])

    def test_tell_of_approval_capture_and_refund(self, told: tuple[Shop, Receiver]) -> None:
        shop, receiver = told
        capture = shop.paid()
        shop.refund(capture)
        events = [receiver.next().event for _ in range(3)]
        names = [event["event_type"] for event in events]
        assert names == ["CHECKOUT.ORDER.APPROVED", "PAYMENT.CAPTURE.COMPLETED", "PAYMENT.CAPTURE.REFUNDED"]
        assert events[1]["resource"]["id"] == capture["id"]
        assert events[1]["resource"]["supplementary_data"]["related_ids"]["order_id"] == events[0]["resource"]["id"]
        assert events[2]["resource"]["links"][1]["href"].endswith(capture["id"])

    def test_tell_of_money_that_went_back_without_our_asking(self, told: tuple[Shop, Receiver]) -> None:
        shop, receiver = told
        capture = shop.paid()
        knob = f"/sandbox/captures/{capture['id']}/return"
        part = {"amount": {"currency_code": "USD", "value": "5.00"}, "reversed": True}
        made = shop.peer.post(knob, json=part)
        assert shop.peer.post(knob, json={}).json()["amount"]["value"] == "20.00"
        assert issue(shop.peer.post(knob, json={})) == (422, "CAPTURE_FULLY_REFUNDED")
        events = [receiver.next().event for _ in range(4)][2:]
        names = [event["event_type"] for event in events]
        assert names == ["PAYMENT.CAPTURE.REVERSED", "PAYMENT.CAPTURE.REFUNDED"]
        assert events[0]["resource"] == made.json()

    def test_signature_holds_for_the_very_bytes_only(self, told: tuple[Shop, Receiver]) -> None:
        shop, receiver = told
        shop.approve(shop.order().json()["id"])
        note = receiver.next()
        assert self.verify(shop, note) == "SUCCESS"
        assert self.verify(shop, note, note.raw.replace(b"25.00", b"99.00")) == "FAILURE"
        assert self.verify(shop, note, json.dumps(note.event, indent=1).encode()) == "FAILURE"
        assert self.verify(shop, note, webhook_id="OTHER") == "FAILURE"
        assert self.verify(shop, note, transmission_time="2020-01-01T00:00:00Z") == "FAILURE"
        assert self.verify(shop, note, transmission_sig="AAAA") == "FAILURE"
        certificate = requests.get(note.headers["paypal-cert-url"], timeout=5).text
        assert certificate.startswith("-----BEGIN CERTIFICATE-----")

    def test_sent_again_until_taken(self, told: tuple[Shop, Receiver]) -> None:
        shop, receiver = told
        receiver.statuses = [500]
        shop.approve(shop.order().json()["id"])
        first, again = receiver.next(), receiver.next()
        assert first.event == again.event
        shop.peer.wait(lambda: deliveries(shop)[0]["state"] == "delivered")
        assert deliveries(shop)[0]["attempts"] == 2

    def test_doubled_on_demand(self, told: tuple[Shop, Receiver]) -> None:
        shop, receiver = told
        assert shop.peer.post("/sandbox/webhooks", json={"copies": 2}).status_code == 200
        shop.approve(shop.order().json()["id"])
        first, second = receiver.next(), receiver.next()
        assert first.event["id"] == second.event["id"]
        assert first.headers["paypal-transmission-id"] != second.headers["paypal-transmission-id"]

    def test_out_of_order_on_demand(self, told: tuple[Shop, Receiver]) -> None:
        shop, receiver = told
        shop.peer.post("/sandbox/webhooks", json={"disorder": True})
        shop.paid()
        names = [receiver.next().event["event_type"] for _ in range(2)]
        assert names == ["PAYMENT.CAPTURE.COMPLETED", "CHECKOUT.ORDER.APPROVED"]

    def test_held_back_then_let_go(self, told: tuple[Shop, Receiver]) -> None:
        shop, receiver = told
        shop.peer.post("/sandbox/webhooks", json={"paused": True})
        shop.approve(shop.order().json()["id"])
        assert deliveries(shop)[0]["state"] == "waiting"
        assert receiver.received.empty()
        shop.peer.post("/sandbox/webhooks", json={"paused": False})
        assert receiver.next().event["event_type"] == "CHECKOUT.ORDER.APPROVED"

    def test_sent_again_on_request(self, told: tuple[Shop, Receiver]) -> None:
        shop, receiver = told
        shop.approve(shop.order().json()["id"])
        event = receiver.next().event
        path = f"/v1/notifications/webhooks-events/{event['id']}"
        assert shop.peer.get(path).json() == event
        assert shop.post(f"{path}/resend").status_code == 202
        assert receiver.next().event == event

    @pytest.mark.parametrize("knob", [{"copies": 9}, {"copies": True}, {"paused": "yes"}, {"colour": 1}])
    def test_bad_knobs(self, shop: Shop, knob: dict[str, Any]) -> None:
        assert shop.peer.post("/sandbox/webhooks", json=knob).status_code == 400

    def test_bad_verifications(self, shop: Shop) -> None:
        path = "/v1/notifications/verify-webhook-signature"
        assert issue(shop.post(path, {})) == (400, "MISSING_REQUIRED_PARAMETER")


def deliveries(shop: Shop) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = shop.peer.get("/sandbox/webhooks").json()["deliveries"]
    return rows


def test_answers_as_described(shop: Shop, contract: Contract) -> None:
    check = contract("paypal/checkout_orders_v2.json", shop.peer)
    id = check(shop.order()).json()["id"]
    check(shop.capture(id))
    check(shop.order("0.00"))
    check(shop.post("/v2/checkout/orders", {}))
    shop.approve(id)
    check(shop.peer.get(f"/v2/checkout/orders/{id}"))
    capture = check(shop.capture(id)).json()["purchase_units"][0]["payments"]["captures"][0]
    check(shop.capture(id))
    check(shop.peer.get("/v2/checkout/orders/NONE"))
    check(shop.peer.get(f"/v2/checkout/orders/{id}", headers={}))
    check = contract("paypal/payments_payment_v2.json", shop.peer)
    check(shop.peer.get(f"/v2/payments/captures/{capture['id']}"))
    refund = check(shop.refund(capture, {"amount": {"currency_code": "USD", "value": "10.00"}})).json()
    check(shop.refund(capture, {"amount": {"currency_code": "USD", "value": "99.00"}}))
    check(shop.refund(capture))
    check(shop.refund(capture))
    check(shop.peer.get(f"/v2/payments/refunds/{refund['id']}"))
    check(shop.peer.get("/v2/payments/captures/NONE"))
    contract("paypal/checkout_orders_v2.json", shop.peer)(shop.peer.get(f"/v2/checkout/orders/{id}"))
