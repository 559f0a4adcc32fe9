"""Money back: in parts and in full, once, never more than was paid, and out of the right account."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connections, transaction

from accounts.models import AuditEntry, Organisation
from billing import ledger, plans, reconcile, refunds, wallet
from billing.accounts import Kind, account_of, wallet_of
from billing.lifecycle import PaymentStatus, RefundStatus
from billing.models import Invoice, Payment, Refund, Subscription, WebhookEvent
from billing.payments import checkout
from billing.payments.services import service
from billing.subscriptions import a_month_after
from lib.clock import now
from lib.errors import AppError, Conflict, Invalid
from tests.billing.invoicing import deliver_invoices, pay, pay_plan, refund, return_at_paypal, start
from tests.billing.money import faulty, leg
from tests.people import Person


@pytest.fixture(autouse=True)
def _outbox(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


@pytest.fixture(autouse=True)
def _clearing_balances(request: pytest.FixtureRequest) -> Any:
    yield
    assert reconcile.check_clearing() == []


def usd(person: Person) -> Decimal:
    assert person.organisation is not None
    return wallet.balance(person.organisation, "USD").available


def spend(person: Person, amount: str) -> None:
    assert person.organisation is not None
    ledger.post([leg(wallet_of(person.organisation, "USD"), account_of(None, Kind.REVENUE, "USD"), amount)])


def hear(ref: str, kind: str = "PAYMENT.CAPTURE.REFUNDED") -> WebhookEvent:
    """PayPal's notification of a refund is stored and worked on; its signature is tested elsewhere."""
    id = f"WH-{uuid4()}"
    body = {"id": id, "event_type": kind, "resource": {"id": ref}}
    event = WebhookEvent.objects.create(service="paypal", event_ref=id, kind=kind, body=body)
    reconcile.process_event(event.pk)
    event.refresh_from_db()
    return event


def test_in_parts_until_nothing_is_left(owner: Person, staff: Person, paypal: str, mailoutbox: list[Any]) -> None:
    payment = pay(owner)
    first = refund(payment, "10.00", staff)
    assert (first.status, usd(owner)) == (RefundStatus.COMPLETED, Decimal(15))
    with pytest.raises(Invalid) as refusal:
        refund(payment, "15.01", staff)
    assert refusal.value.code == "refund_too_large"
    second = refund(payment, "15", staff)
    assert usd(owner) == 0
    assert first.service_ref != second.service_ref
    payment.refresh_from_db()
    assert (payment.refunded, payment.status) == (Decimal(25), PaymentStatus.CAPTURED)
    assert wallet.balance(payment.organisation, "USD").held == 0
    assert AuditEntry.objects.filter(action="payment.refund").count() == 2
    deliver_invoices()
    notes = [mail for mail in mailoutbox if "credit note" in mail.subject]
    assert [mail.attachments[0][0] for mail in notes] == [f"{first.credit_note}.pdf", f"{second.credit_note}.pdf"]
    moved = owner.api("get", "wallets/transactions").json()["items"]
    assert [row["source_type"] for row in moved] == ["refund", "refund", "payment"]


@pytest.mark.parametrize("amount", ["0", "-5", "10.001", "NaN", "1e30", "ten", "", "25.01", "9" * 40])
def test_a_wrong_amount_moves_nothing(owner: Person, staff: Person, paypal: str, amount: str) -> None:
    payment = pay(owner)
    with pytest.raises(Invalid) as refusal:
        refund(payment, amount, staff)
    assert "amount" in refusal.value.fields
    assert not Refund.objects.exists()
    assert usd(owner) == 25


def test_the_row_itself_refuses_more_than_was_paid(owner: Person, paypal: str) -> None:
    payment = pay(owner)
    for deed in ({"refunded": Decimal("25.01")}, {"refunded": Decimal("-0.01")}):
        with pytest.raises(IntegrityError, match="payment_refunded_within"), transaction.atomic():
            Payment.objects.filter(pk=payment.pk).update(**deed)


def test_only_what_was_paid(owner: Person, staff: Person, paypal: str) -> None:
    with pytest.raises(Conflict) as refusal:
        refund(start(owner), "1", staff)
    assert refusal.value.code == "not_paid"


def test_what_the_wallet_has_spent_stays_spent(owner: Person, staff: Person, paypal: str) -> None:
    payment = pay(owner)
    spend(owner, "20")
    with pytest.raises(Conflict) as refusal:
        refund(payment, "25", staff)
    assert refusal.value.code == "wallet_spent"
    assert "5.00" in refusal.value.message
    payment.refresh_from_db()
    assert payment.refunded == 0
    assert refund(payment, "5", staff).status == RefundStatus.COMPLETED
    assert usd(owner) == 0


def test_a_key_is_for_one_refund(owner: Person, staff: Person, paypal: str) -> None:
    payment = pay(owner)
    assert len({refund(payment, "5", staff, "once").pk for _ in range(2)}) == 1
    assert usd(owner) == 20
    with pytest.raises(Conflict):
        refund(payment, "6", staff, "once")


def test_paypal_is_away_and_comes_back(owner: Person, staff: Person, paypal: str) -> None:
    payment = pay(owner)
    with faulty(paypal, "http_500"):
        waiting = refund(payment, "25", staff)
    assert (waiting.status, usd(owner)) == (
        RefundStatus.SENT,
        Decimal(0),
    )  # set aside, so that it is not spent meanwhile
    assert reconcile.check_clearing() == []
    assert refunds.reconcile_refunds() == 0  # asked only just now
    Refund.objects.update(checked_at=now() - timedelta(minutes=5))
    assert refunds.reconcile_refunds() == 1
    waiting.refresh_from_db()
    assert waiting.status == RefundStatus.COMPLETED
    assert usd(owner) == 0


def test_a_lost_answer_is_found_again(owner: Person, staff: Person, paypal: str) -> None:
    """PayPal has refunded, we did not hear it: asked again it answers the same refund."""
    payment = pay(owner)
    with faulty(paypal, "drop_answer_after_create"):
        waiting = refund(payment, "10", staff)
    assert waiting.status == RefundStatus.SENT
    again = refunds.bring_up(waiting.pk)
    assert again.status == RefundStatus.COMPLETED
    assert usd(owner) == 15
    assert hear(again.service_ref).error == ""
    assert Refund.objects.count() == 1


def test_the_notification_is_faster_than_we(owner: Person, staff: Person, paypal: str) -> None:
    """We died after PayPal had refunded: its notification names our row."""
    payment = pay(owner)
    ours = refunds.request(payment=payment, amount="10", reason="x", actor=staff.actor, idempotency_key="k")
    remote = service("paypal").refund(
        payment.capture_ref, ours.amount, "USD", reference=ours.public_id, request_id=f"refund-{ours.pk.hex}"
    )
    for _ in range(3):
        assert hear(remote.ref).error == ""
    ours.refresh_from_db()
    assert (ours.status, ours.service_ref) == (RefundStatus.COMPLETED, remote.ref)
    assert refunds.bring_up(ours.pk).status == RefundStatus.COMPLETED
    assert usd(owner) == 15
    assert Refund.objects.count() == 1


def test_what_paypal_refuses_is_given_back_to_the_wallet(owner: Person, staff: Person, paypal: str) -> None:
    payment = pay(owner)
    return_at_paypal(paypal, payment, "20.00")  # and we do not know yet
    failed = refund(payment, "25", staff)
    assert (failed.status, failed.error) == (RefundStatus.FAILED, "REFUND_AMOUNT_EXCEEDED")
    payment.refresh_from_db()
    assert (payment.refunded, usd(owner)) == (Decimal(0), Decimal(25))
    assert not Invoice.objects.filter(kind="credit_note").exists()


@pytest.mark.parametrize("reversed_by_bank", [False, True])
def test_begun_at_paypal(owner: Person, paypal: str, reversed_by_bank: bool) -> None:
    payment = pay(owner)
    ref = return_at_paypal(paypal, payment, "10.00", reversed=reversed_by_bank)
    for _ in range(3):
        event = hear(ref, "PAYMENT.CAPTURE.REVERSED" if reversed_by_bank else "PAYMENT.CAPTURE.REFUNDED")
        assert (event.error, event.processed_at is None) == ("", False)
    found = Refund.objects.get()
    assert (found.origin, found.status, found.service_ref) == ("service", RefundStatus.COMPLETED, ref)
    assert usd(owner) == 15
    assert found.credit_note.gross == 10


def test_begun_at_paypal_when_the_money_is_spent(owner: Person, paypal: str, organisation: Organisation) -> None:
    payment = pay(owner)
    spend(owner, "20")
    hear(return_at_paypal(paypal, payment))
    assert usd(owner) == 0
    owed = account_of(organisation, Kind.OWED_TO_US, "USD")
    assert owed.debits_posted == 20


def test_a_refund_of_a_capture_that_we_had_not_booked(owner: Person, paypal: str) -> None:
    payment = start(owner)
    order = service("paypal").capture(payment.order_ref, request_id=f"capture-{payment.pk.hex}")
    unbooked = Payment(capture_ref=order.captures[0].ref)
    assert hear(return_at_paypal(paypal, unbooked, "10.00")).error == ""
    payment.refresh_from_db()
    assert (payment.status, payment.refunded, usd(owner)) == (PaymentStatus.CAPTURED, Decimal(10), Decimal(15))


def test_refunds_of_others(owner: Person, paypal: str) -> None:
    payment = pay(owner)
    ref = return_at_paypal(paypal, payment, "10.00")
    Payment.objects.filter(pk=payment.pk).update(capture_ref="OTHER", order_ref="OTHER")
    assert hear(ref).error == "no payment with this capture"
    assert hear("7XY12345AB678901C").error == "the service does not know this refund"
    assert usd(owner) == 25


def test_more_at_paypal_than_is_left_waits(owner: Person, staff: Person, paypal: str) -> None:
    """Ours is set aside and unsent while all goes back there: it waits until ours has been refused."""
    payment = pay(owner)
    ours = refunds.request(payment=payment, amount="25", reason="x", actor=staff.actor, idempotency_key="k")
    event = hear(return_at_paypal(paypal, payment))
    assert WebhookEvent.objects.filter(processed_at=None).exists()
    assert refunds.bring_up(ours.pk).status == RefundStatus.FAILED
    reconcile.process_event(event.pk)
    assert not WebhookEvent.objects.filter(processed_at=None).exists()
    assert usd(owner) == 0


@pytest.mark.parametrize("change", [{"amount": Decimal(9)}, {"currency": "USDC"}])
def test_a_refund_that_is_not_ours_moves_nothing(
    owner: Person, staff: Person, paypal: str, change: dict[str, Any]
) -> None:
    payment = pay(owner)
    ours = refunds.request(payment=payment, amount="10", reason="x", actor=staff.actor, idempotency_key="k")
    remote = service("paypal").refund(
        payment.capture_ref, Decimal(10), "USD", reference=ours.public_id, request_id=uuid4().hex
    )
    Refund.objects.filter(pk=ours.pk).update(**change)
    assert hear(remote.ref).error == "not the refund that we asked for"
    Refund.objects.filter(pk=ours.pk).update(amount=10, currency="USD")
    assert hear(remote.ref).error == ""


def test_a_plan_in_full_ends_it(owner: Person, staff: Person, paypal: str, organisation: Organisation) -> None:
    payment = pay_plan(owner)
    refund(payment, "9", staff)
    assert plans.current_plan(organisation).slug == "pro"
    refund(payment, "40", staff)
    assert plans.current_plan(organisation).slug == "free"
    assert Subscription.objects.get().status == "ended"


def test_a_second_month_moves_up(owner: Person, staff: Person, paypal: str, organisation: Organisation) -> None:
    first, second = pay_plan(owner), pay_plan(owner)
    assert second.paid_from == first.paid_until
    refund(first, "49", staff)
    running = plans.current_subscription(organisation)
    assert running is not None
    assert running.period_end is not None
    assert abs(running.period_end - a_month_after(now())) < timedelta(days=4)  # months differ in length
    refund(second, "49", staff)
    assert plans.current_plan(organisation).slug == "free"


def test_a_month_that_is_over_ends_nothing(owner: Person, staff: Person, paypal: str, organisation: Any) -> None:
    old = pay_plan(owner)
    Payment.objects.filter(pk=old.pk).update(
        paid_from=now() - timedelta(days=90), paid_until=now() - timedelta(days=60)
    )
    refund(old, "49", staff)
    assert plans.current_plan(organisation).slug == "pro"


@pytest.mark.django_db(transaction=True)
def test_two_at_once_never_exceed_the_payment(owner: Person, staff: Person, paypal: str) -> None:
    payment = pay(owner)

    def run(number: int) -> str:
        try:
            return refund(payment, "20", staff, f"key-{number}").status
        except AppError as refusal:
            return refusal.code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(3) as threads:
        assert sorted(threads.map(run, range(3))) == ["completed", "refund_too_large", "refund_too_large"]
    assert usd(owner) == 5


def test_complete_books_a_capture_that_went_back_meanwhile(owner: Person, paypal: str) -> None:
    payment = start(owner)
    order = service("paypal").capture(payment.order_ref, request_id=f"capture-{payment.pk.hex}")
    return_at_paypal(paypal, Payment(capture_ref=order.captures[0].ref), "10.00")
    assert checkout.complete(payment.pk).status == PaymentStatus.CAPTURED
    assert usd(owner) == 25
