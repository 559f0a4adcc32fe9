"""Owners at Stripe: who they are, what they are sent once, what comes back; and the list of all that Stripe has."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import requests

from billing.payments.base import BadSignature, Gone, NewOrder, NewPayout, Refused, RemotePayout, ServiceDown
from billing.payments.services import STRIPE, listing, payees, payouts
from billing.payments.services import stripe as adapter
from billing.payments.stripe import webhook
from lib.clock import now
from tests.billing.money import faulty
from tests.billing.stripe import add_card, new_customer

BACK = "http://127.0.0.1:8000/payouts/"


@pytest.fixture(autouse=True)
def _peer(stripe: str) -> None:
    """All of these speak to it."""


@pytest.fixture
def funds() -> None:
    """Money of ours at Stripe, from which owners are paid."""
    order("500")


def order(amount: str) -> str:
    customer = new_customer()
    wanted = NewOrder("pay_x", Decimal(amount), "USD", "test", BACK, BACK, customer, add_card(customer))
    made = adapter().create(wanted, request_id=uuid4().hex)
    return adapter().capture(made.ref, request_id=uuid4().hex).ref


def new_payee(country: str = "US") -> str:
    return payees(STRIPE).open_payee(
        reference="payee_1", email="owner@example.com", country=country, request_id=uuid4().hex
    )


def onboard(ref: str, action: str = "complete") -> requests.Response:
    url = payees(STRIPE).onboarding_url(ref, return_url=BACK, refresh_url=BACK)
    return requests.post(url, data={"action": action}, timeout=10, allow_redirects=False)


def payout(destination: str, amount: str = "100.50", reference: str | None = None) -> NewPayout:
    return NewPayout(reference or f"po_{uuid4().hex}", destination, Decimal(amount), "USD", "Earnings of May")


def transfers(reference: str) -> list[Any]:
    wanted: Any = {"transfer_group": reference}
    return list(adapter()._api.transfers.list(wanted).data)


def reverse(ref: str, cents: int | None = None) -> None:
    body: Any = {} if cents is None else {"amount": cents}
    adapter()._api.transfers.reversals.create(ref, body)


def test_an_owner_says_who_they_are() -> None:
    ref = new_payee()
    account = payees(STRIPE).fetch_payee(ref)
    assert not account.ready
    assert "external_account" in account.missing
    assert onboard(ref, "later").headers["Location"] == BACK
    assert not payees(STRIPE).fetch_payee(ref).ready
    assert onboard(ref).headers["Location"] == BACK
    assert payees(STRIPE).fetch_payee(ref) == type(account)(ref, True, ())


def test_who_cannot_be_paid() -> None:
    with pytest.raises(Refused, match="country"):
        new_payee("EC")
    with pytest.raises(Gone):
        payees(STRIPE).fetch_payee("acct_unknown")
    with pytest.raises(Gone):
        payees(STRIPE).onboarding_url("acct_unknown", return_url=BACK, refresh_url=BACK)


def test_paid_once(funds: None) -> None:
    ref = new_payee()
    onboard(ref)
    wanted = payout(ref)
    sent = payouts(STRIPE).send_payout(wanted)
    assert sent == RemotePayout(sent.ref, wanted.reference, "paid", Decimal("100.50"), "USD")
    assert payouts(STRIPE).send_payout(wanted) == sent
    assert payouts(STRIPE).fetch_payout(sent.ref) == sent
    assert len(transfers(wanted.reference)) == 1


def test_paid_once_when_stripe_has_forgotten_the_key(funds: None) -> None:
    """A day later its key means nothing any more: as a transfer of this name that was made with another key."""
    ref = new_payee()
    onboard(ref)
    wanted = payout(ref)
    body: Any = {"amount": 10050, "currency": "usd", "destination": ref, "transfer_group": wanted.reference}
    earlier = adapter()._api.transfers.create(body)
    assert payouts(STRIPE).send_payout(wanted).ref == earlier.id
    assert len(transfers(wanted.reference)) == 1


def test_a_lost_answer_is_found_again(funds: None, stripe: str) -> None:
    ref = new_payee()
    onboard(ref)
    wanted = payout(ref)
    with faulty(stripe, "drop_answer_after_create", "/v1/transfers"), pytest.raises(ServiceDown):
        payouts(STRIPE).send_payout(wanted)
    sent = payouts(STRIPE).send_payout(wanted)
    assert [row.id for row in transfers(wanted.reference)] == [sent.ref]


def test_what_is_refused(funds: None) -> None:
    ref = new_payee()
    with pytest.raises(Refused, match="insufficient_capabilities"):
        payouts(STRIPE).send_payout(payout(ref))
    onboard(ref)
    with pytest.raises(Refused, match="balance_insufficient"):
        payouts(STRIPE).send_payout(payout(ref, "900000"))
    with pytest.raises(Refused, match="no_such_account"):
        payouts(STRIPE).send_payout(payout("acct_unknown"))
    with pytest.raises(Gone):
        payouts(STRIPE).fetch_payout("tr_unknown")


def test_one_name_is_one_payout(funds: None) -> None:
    ref = new_payee()
    onboard(ref)
    sent = payouts(STRIPE).send_payout(payout(ref, "10"))
    with pytest.raises(ServiceDown):
        payouts(STRIPE).send_payout(payout(ref, "20", sent.reference))
    assert len(transfers(sent.reference)) == 1


def test_what_comes_back(funds: None) -> None:
    ref = new_payee()
    onboard(ref)
    sent = payouts(STRIPE).send_payout(payout(ref, "10"))
    reverse(sent.ref, 400)
    part = payouts(STRIPE).fetch_payout(sent.ref)
    assert part == replace(sent, reason="reversed", returned=Decimal(4))
    reverse(sent.ref)
    whole = payouts(STRIPE).fetch_payout(sent.ref)
    assert whole == replace(sent, state="returned", reason="reversed", returned=Decimal(10))


def test_what_stripe_tells_of_them(funds: None) -> None:
    """Events name what to look at: the transfer, or the account whose details or bank have changed."""
    ref = new_payee()
    onboard(ref)
    sent = payouts(STRIPE).send_payout(payout(ref, "10"))
    reverse(sent.ref)
    events = [event.to_dict() for event in adapter()._api.events.list({"limit": 100}).data]
    told = {event["type"]: event for event in reversed(events)}
    assert webhook.payout_of(told["transfer.reversed"]) == sent.ref
    assert webhook.payee_of(told["account.updated"]) == ref
    failed = {"type": "payout.failed", "account": ref, "data": {"object": {"object": "payout", "id": "po_1"}}}
    assert webhook.payee_of(failed) == ref
    for other in ("transfer.reversed", "charge.succeeded"):
        assert webhook.payee_of(told[other]) == ""
    assert webhook.payout_of(told["account.updated"]) == ""
    assert webhook.payee_of({"type": "payout.failed", "data": {"object": {"id": "po_ours"}}}) == ""


def test_each_endpoint_has_a_secret(settings: Any) -> None:
    from tests.billing.test_stripe_webhook import notification, signed

    raw = notification("account.updated", {"object": "account", "id": "acct_1"})
    header = {"Stripe-Signature": signed(raw, secret="whsec_connect")}
    event = webhook.read_event("whsec_ours, whsec_connect", header, raw)
    assert (event.kind, event.ref) == ("account.updated", json.loads(raw)["id"])
    with pytest.raises(BadSignature):
        webhook.read_event("whsec_ours", header, raw)
    with pytest.raises(BadSignature):
        webhook.read_event(" , ", header, raw)


def test_all_that_stripe_has() -> None:
    since = now() - timedelta(seconds=2)
    made = [order("5") for _ in range(3)]
    found = {each.ref: each for each in listing(STRIPE).orders_since(since)}
    assert set(made) <= set(found)
    assert found[made[0]] == adapter().fetch(made[0])
    assert found[made[0]].captures[0].amount == 5
    assert not set(made) & {each.ref for each in listing(STRIPE).orders_since(since, until=since)}
    assert not list(listing(STRIPE).orders_since(now() + timedelta(hours=1)))


def test_a_list_of_many_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    since = now() - timedelta(seconds=2)
    made = {order("5") for _ in range(3)}
    monkeypatch.setattr("billing.payments.stripe.listing.PAGE", 1)
    refs = [each.ref for each in listing(STRIPE).orders_since(since)]
    assert made <= set(refs)
    assert len(refs) == len(set(refs))


def test_a_list_that_breaks_off(stripe: str) -> None:
    with faulty(stripe, "http_500", "/v1/"), pytest.raises(ServiceDown):
        list(listing(STRIPE).orders_since(now()))
