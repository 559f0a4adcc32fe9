"""PayPal's subscriptions: agreed to, collected each month, owed, changed, suspended, cancelled; and their sales."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.sandbox.conftest import Check, Receiver, RunningPeer
from tests.sandbox.shop import CANCEL, RETURN, Shop

Contract = Callable[[str, RunningPeer], Check]
PLANS, SUBSCRIPTIONS = "/v1/billing/plans", "/v1/billing/subscriptions"
SPAN = {"start_time": "2025-01-01T00:00:00Z", "end_time": "2040-01-01T00:00:00Z"}
USD = {"currency_code": "USD", "value": "49.00"}


class Club(Shop):
    """A shop whose customers pay each month."""

    def __init__(self, peer: RunningPeer) -> None:
        super().__init__(peer)
        self.at("2026-01-31T12:00:00Z")
        assert self.post("/v1/catalogs/products", {"id": "PRODUCT-1", "name": "Plans", "type": "SERVICE"}).ok

    def at(self, moment: str) -> None:
        assert self.peer.post("/sandbox/clock", json={"now": moment}).ok

    def plan(self, value: str = "49.00", **preferences: Any) -> str:
        id: str = self.post(PLANS, plan_body(value, **preferences)).json()["id"]
        return id

    def begin(self, plan: str = "", **context: str) -> dict[str, Any]:
        made: dict[str, Any] = self.post(SUBSCRIPTIONS, subscription_body(plan or self.plan(), **context)).json()
        return made

    def answer(self, shown: dict[str, Any], action: str = "approve") -> requests.Response:
        url = next(link["href"] for link in shown["links"] if link["rel"] == "approve")
        token = parse_qs(urlsplit(url).query)["ba_token"][0]
        assert self.peer.get(url.removeprefix(self.peer.url), headers={}).status_code == 200
        form = {"ba_token": token, "action": action}
        return self.peer.post("/webapps/billing/subscriptions", data=form, headers={})

    def member(self, plan: str = "") -> str:
        made = self.begin(plan)
        assert self.answer(made).status_code == 303
        return str(made["id"])

    def show(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.peer.get(f"{SUBSCRIPTIONS}/{id}").json()
        return found

    def sales(self, id: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.peer.get(f"{SUBSCRIPTIONS}/{id}/transactions", params=SPAN).json()[
            "transactions"
        ]
        return rows

    def capture(self, id: str, value: str = "49.00", **headers: str) -> requests.Response:
        amount = {"currency_code": "USD", "value": value}
        body = {"note": "Again", "capture_type": "OUTSTANDING_BALANCE", "amount": amount}
        return self.post(f"{SUBSCRIPTIONS}/{id}/capture", body, **headers)


def plan_body(value: str = "49.00", **preferences: Any) -> dict[str, Any]:
    cycle = {
        "frequency": {"interval_unit": "MONTH", "interval_count": 1},
        "tenure_type": "REGULAR",
        "sequence": 1,
        "total_cycles": 0,
        "pricing_scheme": {"fixed_price": {"currency_code": "USD", "value": value}},
    }
    about = {"auto_bill_outstanding": False, **preferences}
    return {"product_id": "PRODUCT-1", "name": "Pro", "billing_cycles": [cycle], "payment_preferences": about}


def subscription_body(plan: str, **context: str) -> dict[str, Any]:
    about = {"return_url": RETURN, "cancel_url": CANCEL, **context}
    return {"plan_id": plan, "custom_id": "sub-1", "application_context": about}


@pytest.fixture
def club(shared_peer: Callable[[str], RunningPeer]) -> Club:
    return Club(shared_peer("paypal"))


def statuses(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row["time"][:10], row["status"]) for row in rows]


def test_collected_each_month(club: Club) -> None:
    made = club.begin()
    assert made["status"] == "APPROVAL_PENDING"
    back = club.answer(made).headers["location"]
    assert back.startswith(f"{RETURN}&subscription_id={made['id']}&ba_token=BA-")
    club.at("2026-04-01T00:00:00Z")
    club.peer.tick()  # nothing more is due
    assert statuses(club.sales(made["id"])) == [
        ("2026-03-31", "COMPLETED"),
        ("2026-02-28", "COMPLETED"),
        ("2026-01-31", "COMPLETED"),
    ]
    info = club.show(made["id"])["billing_info"]
    assert (info["next_billing_time"], info["outstanding_balance"]["value"]) == ("2026-04-30T12:00:00Z", "0.00")


def test_the_merchant_decides_when_it_begins(club: Club) -> None:
    made = club.begin(user_action="CONTINUE")
    club.answer(made)
    assert (club.show(made["id"])["status"], club.sales(made["id"])) == ("APPROVED", [])
    assert [club.post(f"{SUBSCRIPTIONS}/{made['id']}/activate").status_code for _ in range(2)] == [204, 422]
    assert len(club.sales(made["id"])) == 1


def test_not_agreed_to_and_agreed_to_twice(club: Club) -> None:
    made = club.begin()
    assert club.answer(made, "cancel").headers["location"].startswith(CANCEL)
    assert club.show(made["id"])["status"] == "APPROVAL_PENDING"
    assert club.post(f"{SUBSCRIPTIONS}/{made['id']}/cancel", {"reason": "x"}).status_code == 422
    token = parse_qs(urlsplit(made["links"][0]["href"]).query)["ba_token"][0]
    club.answer(made)
    again = club.peer.post("/webapps/billing/subscriptions", data={"ba_token": token, "action": "approve"}, headers={})
    assert again.status_code == 404


def test_what_was_not_paid_is_owed(club: Club) -> None:
    id = club.member()
    club.peer.post(f"/sandbox/subscriptions/{id}", json={"pays": False})
    club.at("2026-02-28T13:00:00Z")
    info = club.show(id)["billing_info"]
    assert (info["outstanding_balance"]["value"], info["failed_payments_count"]) == ("49.00", 1)
    assert club.capture(id).json()["status"] == "DECLINED"
    club.peer.post(f"/sandbox/subscriptions/{id}", json={"pays": True})
    assert club.capture(id, "50.00").status_code == 422
    first, again = club.capture(id, PayPal_Request_Id="c"), club.capture(id, PayPal_Request_Id="c")
    assert (first.json()["status"], first.json()) == ("COMPLETED", again.json())
    assert club.capture(id).json()["details"][0]["issue"] == "ZERO_OUTSTANDING_BALANCE"
    assert [row["status"] for row in club.sales(id)] == ["COMPLETED", "DECLINED", "DECLINED", "COMPLETED"]


def test_paypals_own_retries_and_its_threshold(club: Club) -> None:
    patient, strict = club.member(), club.member(club.plan(payment_failure_threshold=1))
    for id in (patient, strict):
        club.peer.post(f"/sandbox/subscriptions/{id}", json={"pays": False})
    club.at("2026-03-20T12:00:00Z")
    assert statuses(club.sales(patient))[:3] == [
        ("2026-03-10", "DECLINED"),
        ("2026-03-05", "DECLINED"),
        ("2026-02-28", "DECLINED"),
    ]
    assert (club.show(patient)["status"], club.show(strict)["status"]) == ("ACTIVE", "SUSPENDED")
    refused = club.post(f"{SUBSCRIPTIONS}/{strict}/activate").json()
    assert refused["details"][0]["issue"] == "SUBSCRIPTION_CANNOT_BE_ACTIVATED"


def test_suspended_and_gone_on(club: Club) -> None:
    id = club.member()
    assert club.post(f"{SUBSCRIPTIONS}/{id}/suspend", {"reason": "Ends"}).status_code == 204
    club.at("2026-03-15T12:00:00Z")
    assert len(club.sales(id)) == 1
    assert club.post(f"{SUBSCRIPTIONS}/{id}/activate").status_code == 204
    club.at("2026-04-01T12:00:00Z")
    assert statuses(club.sales(id))[0] == ("2026-03-31", "COMPLETED")
    assert club.post(f"{SUBSCRIPTIONS}/{id}/cancel", {"reason": "Over"}).status_code == 204
    club.at("2026-06-01T12:00:00Z")
    assert len(club.sales(id)) == 2


def test_another_plan_is_the_payers_to_agree_to(club: Club) -> None:
    id, dear = club.member(), club.plan("299.00")
    context = {"return_url": RETURN, "cancel_url": CANCEL}
    revised = club.post(f"{SUBSCRIPTIONS}/{id}/revise", {"plan_id": dear, "application_context": context}).json()
    assert club.show(id)["plan_id"] != dear
    club.answer(revised)
    assert (club.show(id)["plan_id"], len(club.sales(id))) == (dear, 1)
    club.at("2026-03-01T12:00:00Z")
    assert club.sales(id)[0]["amount_with_breakdown"]["gross_amount"]["value"] == "299.00"


def test_refunds_of_sales(club: Club) -> None:
    id = club.member()
    sale = club.sales(id)[0]["id"]
    path = f"/v1/payments/sale/{sale}"
    part = club.post(f"{path}/refund", {"amount": {"total": "9.00", "currency": "USD"}, "invoice_number": "r1"})
    assert (part.status_code, part.json()["invoice_number"]) == (201, "r1")
    assert club.peer.get(f"/v1/payments/refund/{part.json()['id']}").json() == part.json()
    assert club.post(f"{path}/refund", {"amount": {"total": "41.00", "currency": "USD"}}).status_code == 400
    assert club.peer.post(f"/sandbox/sales/{sale}/return", json={}).json()["amount"]["total"] == "40.00"
    assert (club.peer.get(path).json()["state"], club.sales(id)[0]["status"]) == ("refunded", "REFUNDED")
    assert club.post(f"{path}/refund", {}).status_code == 400


def test_notifications(own_peer: Callable[..., RunningPeer], receiver: Receiver) -> None:
    club = Club(own_peer("paypal", "--webhook-url", receiver.url))
    id = club.member()
    begun, paid = receiver.next().event, receiver.next().event
    assert (begun["event_type"], begun["resource"]["id"]) == ("BILLING.SUBSCRIPTION.ACTIVATED", id)
    assert (paid["event_type"], paid["resource"]["billing_agreement_id"]) == ("PAYMENT.SALE.COMPLETED", id)
    assert "_token" not in begun["resource"]
    club.peer.post(f"/sandbox/subscriptions/{id}", json={"cancel": True})
    assert receiver.next().event["event_type"] == "BILLING.SUBSCRIPTION.CANCELLED"


@pytest.mark.parametrize("knob", [{}, {"now": "yesterday"}, {"now": "2020-01-01T00:00:00Z"}])
def test_bad_times(club: Club, knob: dict[str, str]) -> None:
    assert club.peer.post("/sandbox/clock", json=knob).status_code == 400


def test_bad_requests(club: Club) -> None:
    yearly = plan_body()
    yearly["billing_cycles"][0]["frequency"] = {"interval_unit": "YEAR", "interval_count": 1}
    for body in ({}, plan_body("0.00"), yearly, {**plan_body(), "product_id": "OTHER-1"}):
        assert club.post(PLANS, body).status_code in {400, 404, 422}, body
    plan = club.plan()
    for body in ({}, {"plan_id": plan}, subscription_body("P-1"), subscription_body(plan, return_url="javascript:1")):
        assert club.post(SUBSCRIPTIONS, body).status_code in {400, 404}, body
    again = club.post("/v1/catalogs/products", {"id": "PRODUCT-1", "name": "Plans"})
    assert again.json()["details"][0]["issue"] == "DUPLICATE_RESOURCE_IDENTIFIER"


def test_plans_are_listed_by_pages(club: Club) -> None:
    ids = [club.plan() for _ in range(3)]
    query = {"product_id": "PRODUCT-1", "page_size": "2", "page": "2", "total_required": "true"}
    listed = club.peer.get(PLANS, params=query).json()
    assert ([row["id"] for row in listed["plans"]], listed["total_pages"]) == (ids[2:], 2)


def test_answers_as_described(club: Club, contract: Contract) -> None:
    check = contract("paypal/billing_subscriptions_v1.json", club.peer)
    plan = check(club.post(PLANS, plan_body())).json()["id"]
    check(club.peer.get(f"{PLANS}/{plan}"))
    check(club.peer.get(PLANS, params={"product_id": "PRODUCT-1"}))
    check(club.post(PLANS, {}))
    id = check(club.post(SUBSCRIPTIONS, subscription_body(plan))).json()["id"]
    one = f"{SUBSCRIPTIONS}/{id}"
    check(club.peer.get(one))
    club.answer(club.show(id))
    check(club.peer.get(one))
    check(club.peer.get(f"{one}?fields=plan"))
    check(club.peer.get(f"{one}/transactions", params=SPAN))
    check(club.capture(id))
    body = {"plan_id": plan, "application_context": {"return_url": RETURN, "cancel_url": CANCEL}}
    check(club.post(f"{one}/revise", body))
    check(club.post(f"{one}/suspend", {"reason": "x"}))
    check(club.post(f"{one}/activate", {"reason": "x"}))
    check(club.post(f"{one}/activate", {"reason": "x"}))
    check(club.post(f"{one}/cancel", {"reason": "x"}))
    check(club.peer.get(f"{SUBSCRIPTIONS}/NONE"))
