"""Whatever is spent and refunded meanwhile, and in whatever order the looks at a dispute come in, the sums are the same."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from uuid import uuid4

from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Organisation
from billing import chargebacks, ledger, reconcile, refunds, wallet
from billing.accounts import Kind, account_of, wallet_of
from billing.lifecycle import PaymentStatus
from billing.models import Chargeback, Invoice, Payment, Refund
from billing.payments import base, booking
from billing.payments.services import STRIPE
from lib.clock import now
from tests.billing.money import leg
from tests.undone import undone

FEE = Decimal(15)
STEPS = st.lists(
    st.tuples(st.sampled_from(["spend", "refund", "look", "top_up"]), st.integers(0, 30)), min_size=2, max_size=12
)


def booked(organisation: Organisation, amount: Decimal) -> Payment:
    """A top-up by card, without the way to Stripe and back."""
    payment = Payment.objects.create(
        organisation=organisation,
        service=STRIPE,
        purpose=Payment.Purpose.TOP_UP,
        amount=amount,
        order_ref=f"pi_{uuid4().hex}",
        status=PaymentStatus.CREATED,
    )
    capture = base.Capture(f"ch_{uuid4().hex}", "completed", amount, "USD")
    order = base.Order(payment.order_ref, "completed", payment.public_id, amount, "USD", captures=(capture,))
    return booking.book(payment.pk, order, capture)


def life(payment: Payment, amount: Decimal, *, asks: bool, won: bool) -> list[base.RemoteChargeback]:
    """All that Stripe says of a dispute, from its beginning to its end."""
    first = base.RemoteChargeback(
        f"du_{uuid4().hex}", payment.capture_ref, "needs_response", "fraudulent", amount, "USD", now(), None, now()
    )
    taken = replace(first, withdrawn=amount, fee=FEE)
    reviewed = replace(taken, state="under_review")
    end = replace(taken, state="won", returned=amount) if won else replace(taken, state="lost")
    return [*([replace(first, state="warning_needs_response")] if asks else []), first, taken, reviewed, end]


class World:
    def __init__(self, organisation: Organisation, looks: list[base.RemoteChargeback], payment: Payment) -> None:
        self.organisation, self.looks, self.payment = organisation, looks, payment
        self.spent = self.came = Decimal(0)

    def top_up(self, size: int) -> None:
        """Of something else: it settles first what is owed."""
        booked(self.organisation, Decimal(size + 1))
        self.came += size + 1

    def spend(self, size: int) -> None:
        amount = Decimal(size) / 2 + Decimal("0.25")
        with suppress(ledger.Overdraft):
            ledger.post([leg(wallet_of(self.organisation, "USD"), account_of(None, Kind.REVENUE, "USD"), amount)])
            self.spent += amount

    def refund(self, size: int) -> None:
        """Begun at Stripe, which refuses what is not left there."""
        remote = base.Refund(f"re_{uuid4().hex}", self.payment.capture_ref, "completed", Decimal(size % 9 + 1), "USD")
        with suppress(refunds.NotYet):
            refunds.book_from_service(STRIPE, remote)

    def look(self, size: int) -> None:
        chargebacks.learn(STRIPE, replace(self.looks[size % len(self.looks)], asked_at=now()))

    def check(self) -> None:
        assert ledger.check() == []
        assert reconcile.check_clearing() == []
        back = Refund.objects.filter(status="completed").aggregate(total=Sum("amount"))["total"] or Decimal(0)
        taken = sum((row.withdrawn - row.returned for row in Chargeback.objects.all()), Decimal(0))
        owed = account_of(self.organisation, Kind.OWED_TO_US, "USD")
        free, debt = wallet.balance(self.organisation, "USD").available, owed.debits_posted - owed.credits_posted
        assert free - debt == self.payment.amount + self.came - self.spent - back - taken
        assert min(free, debt) == 0
        payment = Payment.objects.get(pk=self.payment.pk)
        assert payment.left == payment.amount - back - payment.charged_back >= 0


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, part=st.integers(1, 25), asks=st.booleans(), won=st.booleans())
def test_whatever_happens(
    organisation: Organisation, steps: list[tuple[str, int]], part: int, asks: bool, won: bool
) -> None:
    with undone():
        payment = booked(organisation, Decimal(25))
        looks = life(payment, Decimal(part), asks=asks, won=won)
        world = World(organisation, looks, payment)
        for name, size in steps:
            getattr(world, name)(size)
            world.check()
        world.look(len(looks) - 1)
        world.check()
        row = Chargeback.objects.get()
        assert (row.status, row.fee) == (looks[-1].state, FEE)
        notes = Invoice.objects.filter(kind="credit_note", chargeback=row)
        assert [note.gross for note in notes] == ([row.counted] if row.counted and not won else [])
        if won:
            assert (row.counted, row.returned) == (Decimal(0), Decimal(part))
