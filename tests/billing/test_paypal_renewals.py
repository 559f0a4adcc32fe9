"""Plans that PayPal renews: agreed to there, collected each month, owed, changed, cancelled, refunded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import requests
from django.core import mail

from billing import dunning, plans, reconcile, reconciliation, renewals
from billing.collected import sync
from billing.lifecycle import PaymentStatus, SubscriptionStatus
from billing.models import Invoice, Payment, ReconciliationCase, Subscription, WebhookEvent
from billing.payments import checkout
from billing.payments.base import ServiceDown
from billing.payments.paypal import webhook
from billing.payments.services import renewals as remote
from billing.payments.services import service
from billing.refunds import give_back
from billing.subscriptions import end_lapsed
from lib.errors import Conflict
from tests.billing.money import faulty, plan_of
from tests.billing.paypal import PayPalClock, agree, ask, begin, own_clock
from tests.billing.stripe import save_card
from tests.people import Person

SUBSCRIPTIONS = "/v1/billing/subscriptions"


@pytest.fixture(autouse=True)
def _clearing_balances(settings: Any) -> Iterator[None]:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    yield
    assert reconcile.check_clearing() == []


@pytest.fixture
def clock(paypal: str) -> Iterator[PayPalClock]:
    yield from own_clock(paypal)


def day(month: int, of_month: int = 15, hour: int = 12, year: int = 2027) -> datetime:
    return datetime(year, month, of_month, hour, tzinfo=UTC)


def paid() -> list[int]:
    rows = Payment.objects.filter(status=PaymentStatus.CAPTURED).order_by("captured_at", "pk")
    return [int(row.amount) for row in rows]


def change(person: Person, row: Subscription, plan: str) -> str:
    row.refresh_from_db()
    offer = renewals.offer(row, plans.find_plan(plan))
    assert (offer.now.amount, offer.next_at) == (Decimal(0), row.period_end)
    agreed: Any = {
        "agreed": (Decimal(0), offer.next_amount),
        "at": offer.at,
        "actor": person.actor,
        "idempotency_key": uuid4().hex,
    }
    return renewals.change(row, offer.plan, **agreed).approve_url


def test_half_a_year(owner: Person, clock: PayPalClock) -> None:
    """From the 31st, so that months end where they can; every sum is paid, booked and on an invoice."""
    with clock.at(day(1, 31)):
        row = begin(owner)
        assert (row.status, row.period_end, plan_of(owner)) == (SubscriptionStatus.ACTIVE, day(2, 28), "pro")
        assert remote("paypal").fetch_subscription(row.service_ref).plan == "pro"
    for month, of_month, following in ((2, 28, day(3, 31)), (3, 31, day(4, 30)), (4, 30, day(5, 31))):
        with clock.at(day(month, of_month, 14)):
            row.refresh_from_db()
            assert row.period_end == following
    with clock.at(day(5, 1)):
        agree(change(owner, row, "team"))
        clock.look()
        row.refresh_from_db()
        assert (row.plan_id, row.next_plan_id, paid()) == ("pro", "team", [49] * 4)
    with clock.at(day(5, 31, 14)):
        row.refresh_from_db()
        assert (plan_of(owner), row.next_plan_id, paid()) == ("team", None, [49, 49, 49, 49, 299])
    with clock.at(day(6, 10)):
        renewals.cancel(row, reason="unused", comment="I am away", actor=owner.actor)
        row.refresh_from_db()
        assert (row.cancel_at_period_end, plan_of(owner)) == (True, "team")
    with clock.at(day(6, 30, 13)):
        end_lapsed()
        clock.look()
        assert (plan_of(owner), remote("paypal").fetch_subscription(row.service_ref).state) == ("free", "ended")
    assert sum(row.gross for row in Invoice.objects.all()) == 495
    assert {row.service for row in Payment.objects.all()} == {"paypal"}


def test_who_begins_anew_pays_once(owner: Person, clock: PayPalClock) -> None:
    left = ask(owner)
    agree(left.approve_url)  # agreed to, and never came back
    row = begin(owner, "team")
    assert checkout.complete(left.pk).status == PaymentStatus.CANCELLED  # of a plan that was dropped: not begun
    assert (paid(), plan_of(owner), row.status) == ([299], "team", SubscriptionStatus.ACTIVE)
    with pytest.raises(Conflict) as refusal:
        ask(owner)
    assert refusal.value.code == "already_subscribed"


def test_lost_answers_end_with_one_subscription(owner: Person, clock: PayPalClock) -> None:
    for path in ("/v1/catalogs", "/v1/billing/plans", SUBSCRIPTIONS):
        with faulty(clock.url, "drop_answer_after_create", path), pytest.raises(ServiceDown):
            ask(owner, key="one")
    payment = ask(owner, key="one")
    agree(payment.approve_url)
    with faulty(clock.url, "http_500", SUBSCRIPTIONS), pytest.raises(ServiceDown):
        checkout.complete(payment.pk)
    service("paypal").capture(payment.order_ref, request_id="x")  # begun, and we have not heard of it
    assert checkout.complete(payment.pk).status == PaymentStatus.CAPTURED
    assert paid() == [49]


def test_what_is_owed_is_asked_for_by_our_schedule(owner: Person, clock: PayPalClock) -> None:
    with clock.at(day(1)):
        row = begin(owner)
        clock.payer(row, pays=False)
    with clock.at(day(2, hour=13)):
        row.refresh_from_db()
        assert (row.status, plan_of(owner)) == (SubscriptionStatus.PAST_DUE, "pro")
    with clock.at(day(2, 16, 14)):
        row.refresh_from_db()
        assert (row.status, row.retries) == (SubscriptionStatus.PAST_DUE, 1)
        clock.payer(row, pays=True)
    with clock.at(day(2, 18, 14)):
        row.refresh_from_db()
        assert (row.status, row.period_end, paid()) == (SubscriptionStatus.ACTIVE, day(3), [49, 49])
    with clock.at(day(3, hour=14)):
        assert paid() == [49, 49, 49]
    assert [message.subject for message in mail.outbox][-1] == "The renewal of your GPUBroker plan is paid"
    assert "PayPal could not collect" in str(mail.outbox[0].body)


def test_paypal_collects_it_by_itself_meanwhile(owner: Person, clock: PayPalClock) -> None:
    with clock.at(day(1)):
        row = begin(owner)
        clock.payer(row, pays=False)
    with clock.at(day(2, hour=13)):
        clock.payer(row, pays=True)
    with clock.at(day(2, 20, 13), look=False):  # PayPal's own try, five days later; ours was not made
        clock.look()
        row.refresh_from_db()
        assert (row.status, paid()) == (SubscriptionStatus.ACTIVE, [49, 49])


def test_what_is_never_paid_ends_on_free(owner: Person, clock: PayPalClock) -> None:
    with clock.at(day(1)):
        row = begin(owner)
        clock.payer(row, pays=False)
    for later in (15, 16, 18, 20, 22):
        with clock.at(day(2, later, 14)):
            row.refresh_from_db()
    assert (row.status, plan_of(owner), paid()) == (SubscriptionStatus.ENDED, "free", [49])
    assert remote("paypal").fetch_subscription(row.service_ref).state == "ended"


def test_cancelled_and_resumed(owner: Person, clock: PayPalClock) -> None:
    with clock.at(day(1)):
        row = begin(owner)
        renewals.cancel(row, reason="too_expensive", comment="", actor=owner.actor)
        row.refresh_from_db()
        with pytest.raises(Conflict):
            renewals.offer(row, plans.find_plan("team"))
        renewals.resume(row, actor=owner.actor)
        row.refresh_from_db()
        assert not row.cancel_at_period_end
    with clock.at(day(2, hour=14)):
        assert paid() == [49, 49]
        renewals.cancel(row, reason="unused", comment="", actor=owner.actor)
    row.refresh_from_db()
    with clock.at(day(3, hour=14), look=False), pytest.raises(Conflict) as refusal:
        renewals.resume(row, actor=owner.actor)  # its month is over
    assert refusal.value.code == "cannot_resume"


def test_cancelled_by_the_customer_at_paypal(owner: Person, clock: PayPalClock) -> None:
    """What is paid stays theirs; what PayPal has cancelled cannot be resumed."""
    with clock.at(day(1)):
        row = begin(owner)
        clock.payer(row, cancel=True)
        clock.look()
        row.refresh_from_db()
        assert (row.status, row.cancel_at_period_end, plan_of(owner)) == (SubscriptionStatus.ACTIVE, True, "pro")
        with pytest.raises(Conflict) as refusal:
            renewals.resume(row, actor=owner.actor)
        assert refusal.value.code == "cannot_resume"
    with clock.at(day(2, hour=14)):
        row.refresh_from_db()
        assert (row.status, plan_of(owner), paid()) == (SubscriptionStatus.ENDED, "free", [49])


def test_a_change_that_nobody_agrees_to_is_none(owner: Person, clock: PayPalClock) -> None:
    with clock.at(day(1)):
        row = begin(owner)
        agree(change(owner, row, "team"), "cancel")
    with clock.at(day(2, hour=14)):
        row.refresh_from_db()
        assert (row.plan_id, row.next_plan_id, paid()) == ("pro", None, [49, 49])


def test_a_renewal_that_we_see_after_a_change_was_agreed_to(owner: Person, clock: PayPalClock) -> None:
    with clock.at(day(1)):
        row = begin(owner)
        url = change(owner, row, "team")
    with clock.at(day(2, hour=14), look=False):  # collected at the old price, and not seen yet
        agree(url)
        clock.look()
        row.refresh_from_db()
        assert (row.plan_id, row.next_plan_id, paid()) == ("pro", "team", [49, 49])
    with clock.at(day(3, hour=14)):
        assert (plan_of(owner), paid()) == ("team", [49, 49, 299])


def test_a_plan_that_waits_is_agreed_to_again_at_another_price(owner: Person, clock: PayPalClock) -> None:
    with clock.at(day(1)):
        row = begin(owner)
        agree(change(owner, row, "team"))
        sync(row)
        service_side = remote("paypal")
        running = service_side.fetch_subscription(row.service_ref)
        dearer = service_side.price("team", "Team", Decimal(399), "USD")
        agree(service_side.change_next(running, dearer, return_url="https://gpubroker.example/"))
        sync(row)
        row.refresh_from_db()
        assert (row.next_plan_id, row.next_price_per_month) == ("team", Decimal(399))
    with clock.at(day(2, hour=14)):
        assert (plan_of(owner), paid()) == ("team", [49, 399])


def test_another_price_at_paypal_is_not_booked(
    owner: Person, clock: PayPalClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The customer has agreed to it there, at a page that was not ours to show."""
    with clock.at(day(1)):
        row = begin(owner)
        until, service_side = row.period_end, remote("paypal")
        running = service_side.fetch_subscription(row.service_ref)
        dearer = service_side.price("pro", "Pro", Decimal(59), "USD")
        agree(service_side.change_next(running, dearer, return_url="https://gpubroker.example/"))
    with clock.at(day(2, hour=14)):
        row.refresh_from_db()
        failed = Payment.objects.latest("pk")
        assert (paid(), failed.status, failed.reason, row.period_end) == ([49], "failed", "mismatch", until)
        assert f"payment {failed.public_id} failed: mismatch" in caplog.text
        Payment.objects.update(created_at=day(2, 1))
        assert reconciliation.run("paypal").differences == 1
        case = ReconciliationCase.objects.get(subject=failed.public_id)
        assert (case.kind, case.theirs) == ("not_booked", "59 USD")


def test_refunds(owner: Person, staff: Person, clock: PayPalClock) -> None:
    with clock.at(day(1)):
        row = begin(owner)
    with clock.at(day(2, hour=14)):
        newest = Payment.objects.latest("pk")
        part: Any = {"reason": "asked", "actor": staff.actor}
        assert give_back(payment=newest, amount="9", idempotency_key="r1", **part).status == "completed"
        assert give_back(payment=newest, amount="40", idempotency_key="r2", **part).status == "completed"
        row.refresh_from_db()
        assert (row.status, plan_of(owner)) == (SubscriptionStatus.ENDED, "free")
        clock.look()
        assert remote("paypal").fetch_subscription(row.service_ref).ends_with_period
        first = Payment.objects.earliest("pk")
        assert give_back(payment=first, amount="49", idempotency_key="r3", **part).status == "completed"


def test_a_sale_that_went_back_at_paypal_is_booked_once(owner: Person, clock: PayPalClock) -> None:
    row = begin(owner)
    capture = Payment.objects.get().capture_ref
    sale = capture.removeprefix("sale:")
    back = {"amount": {"total": "19.00", "currency": "USD"}}
    made = requests.post(f"{clock.url}/sandbox/sales/{sale}/return", json=back, timeout=5).json()
    body = {"event_type": "PAYMENT.SALE.REFUNDED", "resource": made}
    for number in range(2):
        event = WebhookEvent.objects.create(service="paypal", event_ref=f"WH-{number}", kind="x", body=body)
        reconcile.process_event(event.pk)
        event.refresh_from_db()
        assert (event.error, event.processed_at is None) == ("", False)
    assert Payment.objects.get().refunded == 19
    assert service("paypal").find_order(capture) == f"subscription:{row.service_ref}"


def test_events_make_us_look(owner: Person, clock: PayPalClock) -> None:
    payment = ask(owner)
    agree(payment.approve_url)
    row = Subscription.objects.get()
    service("paypal").capture(f"subscription:{row.service_ref}", request_id="x")  # and we died
    sale = {"id": "S1", "billing_agreement_id": row.service_ref}
    body = {"event_type": "PAYMENT.SALE.COMPLETED", "resource": sale}
    event = WebhookEvent.objects.create(service="paypal", event_ref="WH-1", kind="x", body=body)
    reconcile.process_event(event.pk)
    assert (paid(), plan_of(owner)) == ([49], "pro")
    assert webhook.subscription_of({"event_type": "BILLING.SUBSCRIPTION.UPDATED", "resource": {"id": "I-1"}}) == "I-1"
    assert webhook.subscription_of({"event_type": "CHECKOUT.ORDER.APPROVED", "resource": {"id": "1"}}) == ""
    assert webhook.refund_of({"event_type": "PAYMENT.SALE.REVERSED", "resource": {"id": "1"}}) == ""


def test_by_page(owner: Person, clock: PayPalClock) -> None:
    form = {"plan": "pro", "token": uuid4().hex, "pay_with": "paypal", "renew": "on"}
    sent = owner.client.post("/billing/plan/choose/", form)
    back = urlsplit(agree(sent["Location"]))
    assert "/receipts/" in owner.client.get(f"{back.path}?{back.query}")["Location"]
    page = owner.client.get("/billing/plan/").content.decode()
    assert "Next renewal" in page
    assert "<dd>PayPal</dd>" in page
    offer = owner.client.get("/billing/plan/change/", {"plan": "team"}).content.decode()
    assert "PayPal asks you to agree to the new amount" in offer
    fields = dict(re.findall(r'name="(plan|at|amount|next_amount|token)" value="([^"]+)"', offer))
    back = urlsplit(agree(owner.client.post("/billing/plan/change/", fields)["Location"]))
    page = owner.client.get(f"{back.path}?{back.query}").content.decode()
    assert "Team from the next renewal on" in page


def test_by_api(owner: Person, clock: PayPalClock) -> None:
    route = "billing/subscription"

    def key() -> dict[str, str]:
        return {"Idempotency-Key": uuid4().hex}

    begun = owner.api("post", route, {"plan": "pro", "renew": True}, key()).json()
    agree(begun["approve_url"])
    checkout.complete(Payment.objects.get().pk)
    shown = owner.api("get", route).json()
    assert (shown["renews"], shown["service"], shown["card"]) == (True, "paypal", None)
    offer = owner.api("post", f"{route}/preview", {"plan": "team"}).json()
    assert (offer["amount"]["amount"], offer["next_amount"]["amount"]) == ("0.000000", "299.000000")
    agreed = {"plan": "team", "at": offer["at"], "amount": "0", "next_amount": "299"}
    changed = owner.api("post", f"{route}/change", agreed, key()).json()
    assert (changed["payment"], changed["approve_url"].startswith(clock.url)) == (None, True)
    assert owner.api("post", f"{route}/cancel", {"reason": "other"}, key()).json()["cancel_at_period_end"]
    assert owner.api("post", f"{route}/resume", None, key()).json()["renews"]


def test_the_books_agree_with_paypal(owner: Person, clock: PayPalClock) -> None:
    with clock.at(day(1)):
        begin(owner)
    with clock.at(day(2, hour=14)):
        Payment.objects.update(created_at=day(2, 1))
        run = reconciliation.run("paypal")
        assert (run.error, run.compared, run.differences) == ("", 2, 0)


def test_a_card_of_theirs_is_left_alone(owner: Person, stripe: str, clock: PayPalClock) -> None:
    card = save_card(owner)
    with clock.at(day(1)):
        row = begin(owner)
        clock.payer(row, pays=False)
    with clock.at(day(2, hour=13)):
        row.refresh_from_db()
        assert (row.status, row.method, card.is_default) == (SubscriptionStatus.PAST_DUE, None, True)
        clock.payer(row, pays=True)
        with faulty(clock.url, "http_500", SUBSCRIPTIONS), pytest.raises(ServiceDown):
            sync(row)
    with clock.at(day(2, 16, 14)):
        assert [payment.method for payment in Payment.objects.all()] == [None, None]
        assert dunning.next_try(Subscription.objects.get()) is None
