"""Twelve months of a customer's life on Stripe's test clock; every sum is computed by hand here."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.core import mail
from django.db.models import Sum

from billing import chargebacks, payment_methods, plans, reconcile, renewals
from billing.accounts import Kind
from billing.evidence import compile_pack
from billing.lifecycle import ChargebackStatus, PaymentStatus, SubscriptionStatus
from billing.models import Account, Invoice, Payment, Subscription
from billing.payments.services import renewals as remote
from billing.refunds import give_back
from lib.clock import now
from tests.billing.stripe import FAILS_LATER, GOOD, Clock, save_card
from tests.billing.taken_back import decide, disputed, hear
from tests.people import Person


@pytest.fixture(autouse=True)
def _outbox(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


def day(month: int, of_month: int, hour: int = 12, year: int = 2026) -> datetime:
    return datetime(year, month, of_month, hour, tzinfo=UTC)


def begin(person: Person, plan: str = "pro", card: str = GOOD) -> Subscription:
    assert person.organisation is not None
    payment = renewals.start(
        organisation=person.organisation,
        plan=plans.find_plan(plan),
        card=save_card(person, card),
        actor=person.actor,
        idempotency_key=uuid4().hex,
    )
    assert payment.subscription is not None
    return payment.subscription


def change(person: Person, row: Subscription, plan: str) -> Payment | None:
    row.refresh_from_db()
    offer = renewals.offer(row, plans.find_plan(plan))
    return renewals.change(
        row,
        offer.plan,
        agreed=(offer.now.amount, offer.next_amount),
        at=offer.at,
        actor=person.actor,
        idempotency_key=uuid4().hex,
    ).payment


def paid(row: Subscription) -> list[Decimal]:
    rows = Payment.objects.filter(subscription=row, status=PaymentStatus.CAPTURED).order_by("captured_at")
    return [payment.amount for payment in rows]


class Year:
    """A customer's life, one part after the other."""

    def __init__(self, person: Person) -> None:
        assert person.organisation is not None
        self.person, self.organisation, self.clock = person, person.organisation, Clock(person, day(1, 1))
        self.tries_for_free()
        with self.clock.at(day(1, 15)):
            self.row = begin(person)
            self.sees("pro", SubscriptionStatus.ACTIVE, ends=day(2, 15))

    def tries_for_free(self) -> None:
        """Our trial is the plan Free, for as long as one likes: no card is asked for, nothing is charged when it ends."""
        with self.clock.at(day(1, 1)):
            assert plans.current_plan(self.organisation).slug == "free"
            assert not Payment.objects.filter(organisation=self.organisation).exists()
            assert payment_methods.default_of(self.organisation) is None

    def sees(self, plan: str, status: str, *, ends: datetime | None = None) -> None:
        self.row.refresh_from_db()
        assert (plans.current_plan(self.organisation).slug, self.row.status) == (plan, status)
        if ends is not None:
            assert self.row.period_end == ends

    def renews(self, *months: int, amount: int) -> None:
        for month in months:
            with self.clock.at(day(month, 15, 14)):
                assert paid(self.row)[-1] == amount

    def upgrade_mid_month(self) -> None:
        """Half of the 31 days are left: 299/2 − 49/2 = 149.50 − 24.50."""
        with self.clock.at(day(3, 31, 0)):
            offer = renewals.offer(Subscription.objects.get(pk=self.row.pk), plans.find_plan("team"))
            assert [amount for _text, amount in offer.lines] == [Decimal("-24.50"), Decimal("149.50")]
            assert (offer.now.amount, offer.next_amount) == (Decimal("125.00"), Decimal(299))
            upgrade = change(self.person, self.row, "team")
            assert upgrade is not None
            assert upgrade.amount == 125
            self.sees("team", SubscriptionStatus.ACTIVE, ends=day(4, 15))

    def card_fails_and_another_pays(self) -> None:
        good = payment_methods.default_of(self.organisation)
        assert good is not None
        with self.clock.at(day(6, 1)):
            payment_methods.choose_default(save_card(self.person, FAILS_LATER), self.person.actor)
        with self.clock.at(day(6, 15, 14)):
            self.sees("team", SubscriptionStatus.PAST_DUE)
        with self.clock.at(day(6, 16, 15)):
            self.sees("team", SubscriptionStatus.PAST_DUE)
            assert self.row.retries == 1
        with self.clock.at(day(6, 17)):
            payment_methods.choose_default(good, self.person.actor)
            self.clock.look()
            self.sees("team", SubscriptionStatus.ACTIVE, ends=day(7, 15))

    def downgrade(self) -> None:
        with self.clock.at(day(7, 20)):
            assert change(self.person, self.row, "pro") is None
            self.sees("team", SubscriptionStatus.ACTIVE)
            assert self.row.next_plan_id == "pro"
        with self.clock.at(day(8, 15, 14)):
            self.sees("pro", SubscriptionStatus.ACTIVE, ends=day(9, 15))
            assert self.row.next_plan_id is None

    def refund(self, staff: Person) -> None:
        with self.clock.at(day(8, 20)):
            payment = Payment.objects.filter(subscription=self.row).latest("captured_at")
            refund = give_back(payment=payment, amount="20", reason="asked", actor=staff.actor, idempotency_key="r")
            assert refund.status == "completed"
            self.sees("pro", SubscriptionStatus.ACTIVE, ends=day(9, 15))

    def dispute(self, stripe: str, staff: Person, *, month: int, decision: str) -> None:
        """The bank takes the newest month back, and has decided a week after it has our evidence."""
        payment = Payment.objects.filter(subscription=self.row).latest("captured_at")
        with self.clock.at(day(month, 20)):
            row = disputed(stripe, payment)
            self.sees(self.row.plan_id, SubscriptionStatus.ACTIVE)
            assert reconcile.check_clearing() == []
        with self.clock.at(day(month, 22)):
            assert row.due_at is not None
            assert row.due_at > now()
            row = chargebacks.submit(chargeback=row, evidence=compile_pack(row), actor=staff.actor)
            assert row.status == ChargebackStatus.UNDER_REVIEW
        with self.clock.at(day(month, 29)):
            decide(stripe, row.service_ref, decision)
            hear(row.service_ref, "charge.dispute.closed")
            row.refresh_from_db()
            assert row.status == decision

    def dispute_late(self, stripe: str) -> None:
        """The plan has ended; the bank takes its last month back, and we give no answer."""
        payment = Payment.objects.filter(subscription=self.row).latest("captured_at")
        row = disputed(stripe, payment)
        decide(stripe, row.service_ref, "lost")
        hear(row.service_ref, "charge.dispute.closed")
        self.sees("free", SubscriptionStatus.ENDED)

    def cancel(self) -> None:
        with self.clock.at(day(12, 1)):
            self.row.refresh_from_db()
            renewals.cancel(self.row, reason="too_expensive", comment="Too dear", actor=self.person.actor)
            self.sees("pro", SubscriptionStatus.ACTIVE)
        with self.clock.at(day(12, 15, 13)):
            self.sees("free", SubscriptionStatus.ENDED)
            assert self.row.cancel_reason == "too_expensive"


def test_a_year(owner: Person, staff: Person, stripe: str) -> None:
    year = Year(owner)
    with year.clock.at(day(2, 15), look=False):
        year.sees("pro", SubscriptionStatus.ACTIVE)  # the renewal waits an hour at Stripe
    year.renews(2, 3, amount=49)
    year.upgrade_mid_month()
    year.renews(4, 5, amount=299)
    year.dispute(stripe, staff, month=5, decision="won")
    year.card_fails_and_another_pays()
    year.renews(7, amount=299)
    year.downgrade()
    year.refund(staff)
    year.renews(9, 10, 11, amount=49)
    year.cancel()
    with year.clock.at(day(1, 20, year=2027)):
        assert paid(year.row) == [49, 49, 49, 125, 299, 299, 299, 299, 49, 49, 49, 49]
        year.dispute_late(stripe)
    # 3 × 49 + 125 + 4 × 299 + 4 × 49 = 1,664, of which 20 were refunded, and the bank kept the 49 of the last month.
    invoices = Invoice.objects.filter(organisation=year.organisation).order_by("pk")
    assert [row.gross for row in invoices.filter(kind="invoice")] == paid(year.row)
    assert [row.gross for row in invoices.filter(kind="credit_note")] == [20, 49]
    sums = Account.objects.filter(currency="USD").values("kind")
    balances = sums.annotate(total=Sum("credits_posted") - Sum("debits_posted")).values_list("kind", "total")
    # Stripe keeps 15 of each of the two disputes, also of the one that we won: 1,664 - 20 - 49 - 2 × 15 = 1,565.
    assert dict(balances) == {Kind.REVENUE: Decimal(1595), Kind.FEES: Decimal(-30), Kind.CLEARING: Decimal(-1565)}
    assert reconcile.check_clearing() == []


def test_a_card_that_never_pays_ends_on_free(owner: Person, stripe: str) -> None:
    organisation = owner.organisation
    assert organisation is not None
    clock = Clock(owner, day(1, 31))
    with clock.at(day(1, 31)):
        row = begin(owner)
    with clock.at(day(2, 10)):
        payment_methods.choose_default(save_card(owner, FAILS_LATER), owner.actor)
    seen = []
    with clock.at(day(2, 28, 14)):
        row.refresh_from_db()
        assert row.status == SubscriptionStatus.PAST_DUE
    for later in (1, 2, 3, 4, 5, 6, 7):
        with clock.at(day(3, later, 15)):
            clock.look()  # looking again changes nothing
            row.refresh_from_db()
            seen.append((row.status, row.retries))
            assert plans.current_plan(organisation).slug == ("free" if later == 7 else "pro")
    late = SubscriptionStatus.PAST_DUE
    assert seen == [(late, 1), (late, 1), (late, 2), (late, 2), (late, 3), (late, 3), (SubscriptionStatus.ENDED, 4)]
    assert remote("stripe").fetch_subscription(row.service_ref).state == "ended"
    assert {invoice.state for invoice in remote("stripe").invoices(row.service_ref)} == {"paid", "other"}
    assert paid(row) == [49]
    subjects = [message.subject for message in mail.outbox]
    assert subjects == ["The renewal of your GPUBroker plan could not be paid"] * 4 + ["Your GPUBroker plan has ended"]
    assert "4242" not in str(mail.outbox[0].body)
    assert "0341" in str(mail.outbox[0].body)
    with clock.at(day(3, 20)):
        again = begin(owner)  # another life
        again.refresh_from_db()
        assert (again.status, plans.current_plan(organisation).slug) == (SubscriptionStatus.ACTIVE, "pro")
    assert reconcile.check_clearing() == []
