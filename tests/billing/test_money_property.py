"""Any interleaving of all that moves money, with crashes anywhere in between, keeps the books and has each effect once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings as configuration
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from billing import chargebacks, ledger, lots, refunds, usage
from billing.accounts import Kind, account_of, wallet_of
from billing.disputes import deciding, opening
from billing.lifecycle import DisputeStatus, PaymentStatus, PayoutStatus
from billing.models import Chargeback, Dispute, Payment, Payout, Refund, Transfer
from billing.payments import checkout
from billing.payments.services import STRIPE, service
from billing.payouts import requesting, sending
from lib.clock import now
from lib.errors import AppError
from tests.billing.disputing import dispute_it, rent
from tests.billing.earning import can_be_paid, earn, later
from tests.billing.money import approve, fund
from tests.billing.stripe import save_card
from tests.billing.taken_back import decide, dispute
from tests.crash.books import problems
from tests.crash.failpoints import broken_off
from tests.people import Person
from tests.undone import undone

SUMS = st.integers(1, 30).map(lambda number: Decimal(number) + Decimal("0.25"))
# Where the act breaks off, counted in writes and calls to the outside. Most have fewer than twenty.
CRASHES = st.none() | st.integers(0, 20)
PICKS = st.integers(0, 100)


@dataclass(frozen=True)
class Cast:
    renter: Person
    owner: Person  # of the machine
    staff: Person


class Money(RuleBasedStateMachine):
    def __init__(self, cast: Cast) -> None:
        super().__init__()
        self._transaction = undone()
        self._transaction.__enter__()
        assert cast.renter.organisation is not None
        assert cast.owner.organisation is not None
        self.holds: list[UUID] = []
        self.broken: list[Callable[[], object]] = []  # what whoever asked for it asks for again
        self.cast, self.renter, self.owner = cast, cast.renter.organisation, cast.owner.organisation
        self.card = save_card(cast.renter)
        can_be_paid(cast.owner)
        earn(self.owner, "100")  # what there is to begin with, so that each rule has something to do at once
        fund(self.renter, "20")
        self.top_up(Decimal(20), by_card=True, crash=None)

    def act(self, crash: int | None, act: Callable[[], object]) -> None:
        """`act` may be done any number of times."""
        if crash is not None:
            self.broken.append(act)
        with broken_off(crash), suppress(AppError):
            act()

    @rule(amount=SUMS, by_card=st.booleans(), crash=CRASHES)
    def top_up(self, amount: Decimal, by_card: bool, crash: int | None) -> None:
        key, card = uuid4().hex, self.card if by_card else None

        def pay() -> None:
            payment = checkout.start(
                organisation=self.renter, purpose=Payment.Purpose.TOP_UP, amount=amount, card=card,
                actor=self.cast.renter.actor, idempotency_key=key, **checkout.own_pages(),
            )  # fmt: skip
            if not by_card:
                approve(payment.approve_url)
            checkout.complete(payment.pk)

        self.act(crash, pay)

    @rule(amount=SUMS, crash=CRASHES)
    def hold(self, amount: Decimal, crash: int | None) -> None:
        hold = uuid4()
        what = {"payer": "wallet", "currency": "USD", "amount": amount, "source_id": "pod", "hold_id": hold}
        self.holds.append(hold)
        self.act(crash, lambda: usage.reserve(self.renter, **what))  # type: ignore[arg-type]

    @rule(amount=SUMS, pick=PICKS, crash=CRASHES)
    def capture(self, amount: Decimal, pick: int, crash: int | None) -> None:
        open_holds = Transfer.objects.filter(pk__in=self.holds, settlements=None).order_by("pk")
        if not open_holds:
            return
        hold, used = open_holds[pick % len(open_holds)], uuid4()

        def settle() -> None:
            usage.settle(
                hold.pk, organisation=self.renter, currency="USD", usage_id=used, amount=min(amount, hold.amount),
                operator=self.owner, provider_slug=usage.OWN_NODES, keep_open=None,
            )  # fmt: skip

        self.act(crash, settle)

    @rule(amount=SUMS, pick=PICKS, crash=CRASHES)
    def refund(self, amount: Decimal, pick: int, crash: int | None) -> None:
        if payment := self.paid(pick):
            wanted = {"reason": "asked for", "actor": self.cast.staff.actor, "idempotency_key": uuid4().hex}
            self.act(crash, lambda: refunds.give_back(payment=payment, amount=amount, **wanted))  # type: ignore[arg-type]

    @rule(pick=PICKS, won=st.booleans(), crash=CRASHES)
    def take_back(self, pick: int, won: bool, crash: int | None) -> None:
        """The payer's bank does, and decides."""
        payment = self.paid(pick, service=STRIPE, charged_back=0)
        if payment is None or payment.refunded:
            return
        try:
            ref = dispute(configuration.STRIPE_URL, payment)
        except AssertionError:  # of a charge that is disputed, or was given back without our knowing yet
            return
        decided = pick % 2

        def learn() -> None:
            chargebacks.hear(STRIPE, ref)
            if decided:
                with suppress(AssertionError):  # it has decided before
                    decide(configuration.STRIPE_URL, ref, "won" if won else "lost")
                chargebacks.hear(STRIPE, ref)

        with suppress(refunds.NotYet):
            self.act(crash, learn)

    @rule(amount=SUMS, crash=CRASHES)
    def pay_out(self, amount: Decimal, crash: int | None) -> None:
        key = uuid4().hex

        def pay() -> None:
            payout = requesting.request_payout(
                organisation=self.owner, amount=amount, method=None, actor=self.cast.owner.actor, key=key
            )
            sending.bring_up(payout.pk)

        self.act(crash, pay)

    @rule(amount=SUMS, crash=CRASHES)
    def open_dispute(self, amount: Decimal, crash: int | None) -> None:
        pod, key = rent(self.renter, self.owner, [str(amount)]), uuid4().hex
        self.act(crash, lambda: dispute_it(self.cast.renter, pod, idempotency_key=key))

    @rule(part=st.integers(0, 4), pick=PICKS, crash=CRASHES)
    def decide_dispute(self, part: int, pick: int, crash: int | None) -> None:
        rows = list(Dispute.objects.exclude(status=DisputeStatus.FINAL).order_by("pk"))
        if not rows:
            return
        row = rows[pick % len(rows)]
        refund = (row.amount * part / 4).quantize(Decimal("0.000001"))

        def judge() -> None:
            with suppress(AppError):  # it was answered before
                opening.answer(dispute=row, side=self.owner, text="It ran.", actor=self.cast.owner.actor)
            deciding.decide(dispute=row, refund=refund, note="As the logs say.", person=self.cast.staff.user)
            Dispute.objects.filter(pk=row.pk, status=DisputeStatus.DECIDED).update(due_at=now() - timedelta(hours=1))
            deciding.reconcile_disputes()

        self.act(crash, judge)

    @rule(amount=SUMS, crash=CRASHES)
    def expire(self, amount: Decimal, crash: int | None) -> None:
        """Credits whose day is over, and money set aside that nobody came for."""
        lot, hold = uuid4(), uuid4()
        wallet, revenue = wallet_of(self.renter, "USD"), account_of(None, Kind.REVENUE, "USD")
        over = now() - timedelta(minutes=1)

        def run_out() -> None:
            lots.grant(self.renter, amount, id=lot, source=lots.Source.STAFF, expires_at=over)
            lots.expire_due()
            with suppress(ledger.Overdraft):
                ledger.hold(
                    id=hold, debit=wallet.pk, credit=revenue.pk, amount=Decimal(1), currency="USD",
                    source_type="test", source_id="1", expires_at=over,
                )  # fmt: skip
            ledger.expire_holds()

        self.act(crash, run_out)

    @rule()
    def recover(self) -> None:
        """An hour later: people ask again for what was not answered, and the workers have looked at everything."""
        for again in self.broken:
            with suppress(AppError, refunds.NotYet):
                again()
        self.broken.clear()
        for payment in Payment.objects.exclude(status=PaymentStatus.CAPTURED):
            checkout.complete(payment.pk)
        for refund in Refund.objects.filter(status__in=refunds.OPEN):
            refunds.bring_up(refund.pk)
        for payout in Payout.objects.filter(status__in=[PayoutStatus.NEW, PayoutStatus.SENT]):
            sending.bring_up(payout.pk)
        for row in Chargeback.objects.all():
            chargebacks.bring_up(row.pk)

    @invariant()
    def books_balance(self) -> None:
        assert problems() == []

    @invariant()
    def nothing_is_settled_twice(self) -> None:
        owed = account_of(self.renter, Kind.OWED_TO_US, "USD")
        assert owed.credits_posted <= owed.debits_posted

    def teardown(self) -> None:
        try:
            for _ in range(2):
                self.recover()
            self.books_balance()
            self.everything_came_to_one_end()
        finally:
            self._transaction.__exit__(None, None, None)

    def everything_came_to_one_end(self) -> None:
        """What services have done is what we have booked."""
        for payment in Payment.objects.exclude(order_ref=""):
            captures = service(payment.service).fetch(payment.order_ref).captures
            assert [capture.ref for capture in captures] == [payment.capture_ref][: len(captures)]
            assert bool(captures) == (payment.status == PaymentStatus.CAPTURED)
        assert not Refund.objects.filter(status__in=refunds.OPEN).exists()
        assert not Payout.objects.exclude(status=PayoutStatus.PAID).exists()

    def paid(self, pick: int, **columns: object) -> Payment | None:
        rows = Payment.objects.filter(organisation=self.renter, status=PaymentStatus.CAPTURED, **columns)
        return rows.order_by("pk")[pick % len(rows)] if rows else None


def test_whatever_happens(owner: Person, outsider: Person, staff: Person, paypal: str, stripe: str) -> None:
    few = settings(
        max_examples=5,
        stateful_step_count=15,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    with later():  # what owners have earned is no longer held back
        machine: Any = partial(Money, Cast(owner, outsider, staff))  # made once for each example
        run_state_machine_as_test(machine, settings=few)
