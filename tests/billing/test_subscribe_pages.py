"""A plan that renews itself, by page and by API: begun, shown, changed after a look, cancelled, resumed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import ANY
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.utils.formats import date_format

from billing import dunning, plans, reconcile, renewals
from billing.lifecycle import PaymentStatus, SubscriptionStatus
from billing.models import Payment, ServiceCustomer, Subscription
from billing.payments import checkout
from billing.payments.base import ServiceDown
from billing.payments.checkout import Wanted
from billing.payments.services import renewals as remote
from billing.payments.services import stripe as adapter
from billing.refunds import give_back
from lib.clock import now
from tests.billing.money import approve, faulty
from tests.billing.stripe import ASKS, FAILS_LATER, Clock, answer_bank, save_card
from tests.billing.test_stripe_webhook import notification, receive
from tests.people import Person
from tests.tenancy.rows import state

ROUTE = "billing/subscription"


def key() -> dict[str, str]:
    return {"Idempotency-Key": uuid4().hex}


def agreed_to(offer: Any) -> dict[str, Any]:
    """The yes to a preview, as a customer's program sends it."""
    sums = {name: offer[name]["amount"] for name in ("amount", "next_amount")}
    return {"plan": offer["plan"], "at": offer["at"], **sums}


def subscribe(person: Person, plan: str = "pro", card: str | None = None) -> Subscription:
    saved = save_card(person, card) if card else save_card(person)
    answer = person.api("post", ROUTE, {"plan": plan, "card": saved.public_id, "renew": True}, key())
    assert answer.status_code == 201, answer.content
    return Subscription.objects.get()


def test_by_api_from_start_to_cancel(owner: Person, stripe: str) -> None:
    row = subscribe(owner)
    assert row.status == SubscriptionStatus.ACTIVE
    shown = owner.api("get", ROUTE).json()
    assert (shown["plan"]["slug"], shown["renews"], shown["card"]["last4"]) == ("pro", True, "4242")
    assert shown["next_amount"]["amount"] == "49.000000"
    offer = owner.api("post", f"{ROUTE}/preview", {"plan": "team"}).json()
    # The month has just begun: a few seconds at most are used up.
    assert 249 < Decimal(offer["amount"]["amount"]) <= 250
    agreed = agreed_to(offer)
    same = key()
    changed = [owner.api("post", f"{ROUTE}/change", agreed, same).json() for _ in range(2)]
    assert changed[0] == changed[1]
    assert changed[0]["payment"]["status"] == "captured"
    assert changed[0]["payment"]["amount"] == offer["amount"]
    assert changed[0]["subscription"]["plan"]["slug"] == "team"
    offer = owner.api("post", f"{ROUTE}/preview", {"plan": "pro"}).json()
    assert offer["amount"]["amount"] == "0.000000"
    later = owner.api("post", f"{ROUTE}/change", agreed_to(offer), key()).json()
    assert (later["payment"], later["subscription"]["next_plan"]) == (None, "pro")
    assert later["subscription"]["next_amount"]["amount"] == "49.000000"
    body = {"reason": "unused", "comment": "I am away"}
    assert owner.api("post", f"{ROUTE}/cancel", body, key()).json()["cancel_at_period_end"]
    assert remote("stripe").fetch_subscription(row.service_ref).ends_with_period
    assert owner.api("post", f"{ROUTE}/preview", {"plan": "team"}).status_code == 409
    assert owner.api("post", f"{ROUTE}/resume", None, key()).json()["renews"]
    assert owner.api("post", f"{ROUTE}/resume", None, key()).status_code == 409
    assert Payment.objects.filter(status=PaymentStatus.CAPTURED).count() == 2
    assert reconcile.check_clearing() == []


def test_by_page(owner: Person, stripe: str) -> None:
    card = save_card(owner)
    form = {"plan": "pro", "token": uuid4().hex, "pay_with": card.public_id, "renew": "on"}
    sent = owner.client.post("/billing/plan/choose/", form)
    assert "/billing/return/" in sent["Location"]
    page = owner.client.get("/billing/plan/").content.decode()
    assert "Next renewal" in page
    assert "Visa ···· 4242" in page
    offer = owner.client.get("/billing/plan/change/", {"plan": "team"}).content.decode()
    assert re.search(r"<td>Unused: Pro from .+ to .+</td>", offer)
    fields = dict(re.findall(r'name="(plan|at|amount|next_amount|token)" value="([^"]+)"', offer))
    agreed = owner.client.post("/billing/plan/change/", fields)
    assert "/billing/return/" in agreed["Location"]
    assert plans.current_plan(card.organisation).slug == "team"
    ends = Subscription.objects.get().period_end
    assert ends is not None
    until = date_format(ends, "SHORT_DATE_FORMAT")
    for place in ("/billing/", owner.client.get(agreed["Location"])["Location"]):
        assert f"Upgrade to GPUBroker Team until {until}" in owner.client.get(place).content.decode()
    again = owner.client.post("/billing/plan/change/", fields)  # sent twice
    assert again["Location"] == agreed["Location"]
    wrong = owner.client.post("/billing/plan/cancel/", {"reason": "", "comment": ""})
    assert wrong.status_code == 422
    owner.client.post("/billing/plan/cancel/", {"reason": "other", "comment": "x"})
    assert "Keep the plan after all" in owner.client.get("/billing/plan/").content.decode()
    owner.client.post("/billing/plan/resume/")
    assert not Subscription.objects.get().cancel_at_period_end


def test_an_offer_is_in_the_readers_language(owner: Person, stripe: str) -> None:
    subscribe(owner)
    owner.user.locale = "es"
    owner.user.save()
    offer = owner.client.get("/billing/plan/change/", {"plan": "team"}).content.decode()
    assert re.search(r"<td>Sin usar: Pro del .+ al .+</td>", offer)
    assert re.search(r"<td>Team del .+ al .+</td>", offer)
    assert "time on" not in offer  # Stripe's own words


def test_who_unticks_renew_after_a_failure_pays_one_month(owner: Person, stripe: str) -> None:
    card = save_card(owner)
    form = {"plan": "pro", "token": uuid4().hex, "pay_with": card.public_id}
    with faulty(stripe, "http_500", "/v1/subscriptions"):
        assert owner.client.post("/billing/plan/choose/", {**form, "renew": "on"}).status_code == 503
    sent = owner.client.post("/billing/plan/choose/", form)
    assert "/receipts/" in owner.client.get(sent["Location"])["Location"]
    row = plans.current_subscription(card.organisation)
    assert row is not None
    assert (row.status, row.service, row.plan_id) == (SubscriptionStatus.ACTIVE, "", "pro")
    assert row.period_end is not None
    assert plans.current_plan(card.organisation).slug == "pro"
    assert reconcile.check_clearing() == []


def test_who_unticks_renew_at_paypal_pays_one_month(owner: Person, paypal: str) -> None:
    form = {"plan": "pro", "token": uuid4().hex, "pay_with": "paypal"}
    renewed = owner.client.post("/billing/plan/choose/", {**form, "renew": "on"})["Location"]
    once = owner.client.post("/billing/plan/choose/", form)["Location"]
    assert (urlsplit(renewed).path, "ba_token" in once) == ("/webapps/billing/subscriptions", False)
    approve(once)
    payment = Payment.objects.get(subscription=None)
    payment = checkout.complete(payment.pk)
    assert payment.subscription is not None
    assert (payment.status, payment.subscription.service) == (PaymentStatus.CAPTURED, "")


def test_a_key_of_a_renewed_plan_pays_no_single_month(owner: Person, stripe: str) -> None:
    card, same = save_card(owner), key()
    body = {"plan": "pro", "card": card.public_id}
    with faulty(stripe, "http_500", "/v1/subscriptions"):
        assert owner.api("post", ROUTE, {**body, "renew": True}, same).status_code == 503
    answer = owner.api("post", ROUTE, body, same)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "idempotency_conflict")
    assert owner.api("post", ROUTE, {**body, "renew": True}, same).json()["status"] == "captured"
    assert Payment.objects.count() == 1


def test_an_old_or_altered_offer_is_refused(owner: Person, stripe: str) -> None:
    subscribe(owner)
    offer = owner.api("post", f"{ROUTE}/preview", {"plan": "team"}).json()
    right = agreed_to(offer)
    before = state()
    for wrong in (
        {**right, "amount": "1.00"},
        {**right, "next_amount": "99.00"},
        {**right, "at": (datetime.now(UTC) - timedelta(hours=1)).isoformat()},
        {**right, "at": (datetime.now(UTC) + timedelta(days=9)).isoformat()},
        {**right, "plan": "pro"},
    ):
        assert owner.api("post", f"{ROUTE}/change", wrong, key()).status_code == 409, wrong
    for wrong in ({**right, "plan": "nothing"}, {**right, "amount": "-1"}, {**right, "at": "2026-01-01T00:00:00"}):
        assert owner.api("post", f"{ROUTE}/change", wrong, key()).status_code in {404, 422}, wrong
    assert owner.client.get("/billing/plan/change/", {"plan": "enterprise"}).status_code == 422
    assert state() == before


def test_a_second_one_and_paypal_are_refused(owner: Person, outsider: Person, stripe: str) -> None:
    row = subscribe(owner)
    card = row.method
    assert card is not None
    body = {"plan": "team", "card": card.public_id, "renew": True}
    assert owner.api("post", ROUTE, body, key()).json()["error"]["code"] == "already_subscribed"
    assert owner.api("post", ROUTE, {"plan": "team", "renew": True}, key()).status_code == 409  # by PayPal
    assert outsider.api("post", ROUTE, body, key()).status_code == 404
    assert outsider.api("post", f"{ROUTE}/cancel", {"reason": "other"}, key()).status_code == 409
    assert owner.api("post", f"{ROUTE}/cancel", {"reason": "x"}, key()).status_code == 422
    assert owner.api("delete", f"billing/payment-methods/{card.public_id}").status_code == 409


def test_the_bank_asks_at_the_first_month(owner: Person, stripe: str) -> None:
    row = subscribe(owner, card=ASKS)
    payment = Payment.objects.get()
    assert (row.status, payment.status) == (SubscriptionStatus.PENDING, PaymentStatus.CREATED)
    answer_bank(payment.approve_url)
    assert checkout.complete(payment.pk).status == PaymentStatus.CAPTURED
    row.refresh_from_db()
    assert row.status == SubscriptionStatus.ACTIVE


def test_who_begins_anew_pays_once(owner: Person, stripe: str) -> None:
    left = subscribe(owner, card=ASKS)
    at_the_bank = Payment.objects.get()
    body = {"plan": "team", "card": save_card(owner).public_id, "renew": True}
    assert owner.api("post", ROUTE, body, key()).json()["status"] == "captured"
    answer_bank(at_the_bank.approve_url)  # its page was still open
    assert checkout.complete(at_the_bank.pk).status == PaymentStatus.CANCELLED
    left.refresh_from_db()
    assert (left.status, plans.current_plan(left.organisation).slug) == (SubscriptionStatus.ENDED, "team")
    assert reconcile.check_clearing() == []


def test_a_declined_first_month_begins_nothing(owner: Person, stripe: str) -> None:
    row = subscribe(owner, card=FAILS_LATER)
    assert (row.status, Payment.objects.get().reason) == (SubscriptionStatus.PENDING, "generic_decline")
    assert plans.current_plan(row.organisation).slug == "free"
    assert "past_due" not in owner.client.get("/billing/plan/").content.decode()


def test_a_declined_upgrade_changes_nothing(owner: Person, stripe: str) -> None:
    row = subscribe(owner)
    bad = save_card(owner, FAILS_LATER)
    assert owner.api("post", f"billing/payment-methods/{bad.public_id}/default").status_code == 200
    offer = owner.api("post", f"{ROUTE}/preview", {"plan": "team"}).json()
    agreed = agreed_to(offer)
    answer = owner.api("post", f"{ROUTE}/change", agreed, key()).json()
    assert (answer["payment"]["status"], answer["payment"]["reason"]) == ("failed", "generic_decline")
    assert answer["subscription"]["plan"]["slug"] == "pro"
    running = remote("stripe").fetch_subscription(row.service_ref)
    assert (running.plan, running.state) == ("pro", "active")


def test_lost_answers_end_with_one_subscription(owner: Person, stripe: str) -> None:
    assert owner.organisation is not None
    card, name = save_card(owner), uuid4().hex
    wanted: dict[str, Any] = {
        "organisation": owner.organisation,
        "plan": plans.find_plan("pro"),
        "card": card,
        "actor": owner.actor,
        "idempotency_key": name,
    }
    for path in ("/v1/subscriptions", "/v1/payment_intents"):
        with faulty(stripe, "drop_answer_after_create", path), pytest.raises(ServiceDown):
            renewals.start(**wanted)
    assert renewals.start(**wanted).status == PaymentStatus.CAPTURED
    wanted_rows: Any = {"customer": ServiceCustomer.objects.get().ref, "status": "all"}
    rows = adapter()._api.subscriptions.list(wanted_rows).to_dict()["data"]
    assert [row["status"] for row in rows] == ["active"]


def test_nobody_is_told_to_try_again_what_may_be_charged(owner: Person, stripe: str) -> None:
    """Stripe has the order, and did not answer when it was to be charged."""
    assert owner.organisation is not None
    plan, card = plans.find_plan("pro"), save_card(owner)
    wanted: dict[str, Any] = {"organisation": owner.organisation, "actor": owner.actor}
    month = Wanted("plan", Decimal(49), plan, card, price_per_month=Decimal(49))
    begun = renewals._first_payment(**wanted, wanted=month, key="one")
    renewals._subscribe(begun, plan)
    with faulty(stripe, "http_500", "/v1/payment_intents"):
        waiting = renewals.start(**wanted, plan=plan, card=card, idempotency_key="one")
    assert (waiting.pk, waiting.status) == (begun.pk, PaymentStatus.CREATED)
    assert checkout.complete(waiting.pk).status == PaymentStatus.CAPTURED


def test_a_crash_after_the_upgrade_is_booked_by_the_next_look(owner: Person, stripe: str) -> None:
    row = subscribe(owner)
    offer = owner.api("post", f"{ROUTE}/preview", {"plan": "team"}).json()
    agreed = agreed_to(offer)
    with faulty(stripe, "drop_answer_after_create", "/v1/subscriptions/"):
        assert owner.api("post", f"{ROUTE}/change", agreed, key()).status_code == 503
    assert plans.current_plan(row.organisation).slug == "pro"
    assert dunning.reconcile_subscriptions() == 1
    assert plans.current_plan(row.organisation).slug == "team"
    assert [payment.status for payment in Payment.objects.all()] == [PaymentStatus.CAPTURED] * 2
    assert dunning.reconcile_subscriptions() == 0  # not due
    assert reconcile.check_clearing() == []


def test_events_make_us_look_and_nothing_else(owner: Person, stripe: str) -> None:
    row = subscribe(owner)
    before = state(without=frozenset({"django_session", "billing_webhookevent"}))
    invoice = {
        "object": "invoice",
        "id": "in_1",
        "amount_due": 1,
        "parent": {"subscription_details": {"subscription": row.service_ref}},
    }
    for kind, about in (
        ("invoice.paid", invoice),
        ("customer.subscription.deleted", {"object": "subscription", "id": row.service_ref, "status": "canceled"}),
        ("customer.subscription.updated", {"object": "subscription", "id": "sub_of_somebody_else"}),
        ("invoice.paid", {"object": "invoice", "parent": None}),
    ):
        assert receive(notification(kind, about)).error == ""
    assert state(without=frozenset({"django_session", "billing_webhookevent"})) == before


def test_ended_at_stripe_is_ended_here(owner: Person, stripe: str) -> None:
    row = subscribe(owner)
    remote("stripe").end(row.service_ref)
    receive(notification("customer.subscription.deleted", {"object": "subscription", "id": row.service_ref}))
    row.refresh_from_db()
    assert (row.status, row.ended_at) == (SubscriptionStatus.ENDED, ANY)
    assert row.ended_at is not None
    assert row.ended_at <= now()
    assert plans.current_plan(row.organisation).slug == "free"


def test_a_month_that_went_back_ends_at_stripe_too(owner: Person, staff: Person, stripe: str) -> None:
    row = subscribe(owner)
    payment = Payment.objects.get()
    give_back(payment=payment, amount="49", reason="asked", actor=staff.actor, idempotency_key="r1")
    row.refresh_from_db()
    assert row.status == SubscriptionStatus.ENDED
    assert remote("stripe").fetch_subscription(row.service_ref).state == "active"
    dunning.reconcile_subscriptions()
    assert remote("stripe").fetch_subscription(row.service_ref).state == "ended"
    assert reconcile.check_clearing() == []


def test_another_sum_than_the_plans_is_not_booked(owner: Person, stripe: str) -> None:
    """Somebody has put a line of their own onto a renewal, at Stripe."""
    clock = Clock(owner, datetime(2026, 1, 15, 12, tzinfo=UTC))
    with clock.at(clock.moment):
        row = subscribe_now(owner)
        customer = ServiceCustomer.objects.get().ref
        extra: Any = {"customer": customer, "amount": 100, "currency": "usd", "subscription": row.service_ref}
        adapter()._api.invoice_items.create(extra)
    with clock.at(datetime(2026, 2, 15, 14, tzinfo=UTC)):
        payments = Payment.objects.order_by("pk").values_list("status", "reason", "amount")
        assert list(payments) == [("captured", "", Decimal(49)), ("failed", "mismatch", Decimal(49))]
        row.refresh_from_db()
        assert row.period_end == datetime(2026, 2, 15, 12, tzinfo=UTC)


def subscribe_now(person: Person) -> Subscription:
    """Without the API, whose tokens are of another time."""
    assert person.organisation is not None
    renewals.start(
        organisation=person.organisation,
        plan=plans.find_plan("pro"),
        card=save_card(person),
        actor=person.actor,
        idempotency_key=uuid4().hex,
    )
    return Subscription.objects.get()


def test_a_month_that_runs_is_not_offered_to_be_renewed(owner: Person, stripe: str) -> None:
    """The domain refuses that until the month is used up: the page says from when on it can be asked for."""
    form = {"plan": "pro", "token": uuid4().hex, "pay_with": save_card(owner).public_id}
    assert owner.client.post("/billing/plan/choose/", form).status_code == 302
    page = owner.client.get("/billing/plan/").content.decode()
    assert "You can let it renew by itself after" in page
    assert page.count('name="renew"') == 1  # of Team
