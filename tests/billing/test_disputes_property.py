"""Any sequence of usage, disputes, answers, decisions, deadlines and payouts keeps the books, and nobody gets more
than was paid."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Sum
from freezegun import freeze_time
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Organisation
from billing import ledger, wallet
from billing.disputes import deciding, opening
from billing.models import Account, Dispute
from lib.clock import now
from lib.errors import AppError
from tests.billing.disputing import dispute_it, earnings, pay_out, rent, use
from tests.people import Person, join, make_user
from tests.undone import undone

PLACES = Decimal("0.000001")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["use", "use", "dispute", "dispute", "answer", "decide", "appeal", "decide", "wait", "pay_out"]
        ),
        st.integers(1, 9_999_999),
    ),
    min_size=4,
    max_size=16,
)


@dataclass
class World:
    renter: Person
    machine_owner: Person
    staff: list[Person]
    at: datetime
    pods: list[Any] = field(default_factory=list)
    paid: Decimal = Decimal(0)

    @property
    def owner(self) -> Organisation:
        assert self.machine_owner.organisation is not None
        return self.machine_owner.organisation

    def use(self, size: int) -> None:
        assert self.renter.organisation is not None
        amounts = [str(PLACES * size), str(PLACES * (size % 7 + 1))]
        self.paid += PLACES * (size + size % 7 + 1)
        if size % 2 or not self.pods:
            self.pods.append(rent(self.renter.organisation, self.owner, amounts))
        else:
            use(self.pods[size % len(self.pods)], self.owner, amounts)

    def dispute(self, size: int) -> None:
        if self.pods:
            amount = str(PLACES * size) if size % 3 else None
            dispute_it(self.renter, self.pods[size % len(self.pods)], amount)

    def answer(self, size: int) -> None:
        if dispute := self.pick(size):
            opening.answer(dispute=dispute, side=self.owner, text="It ran.", actor=self.machine_owner.actor)

    def appeal(self, size: int) -> None:
        if dispute := self.pick(size):
            person = (self.renter, self.machine_owner)[size % 2]
            assert person.organisation is not None
            opening.appeal(dispute=dispute, side=person.organisation, text="Look again.", actor=person.actor)

    def decide(self, size: int) -> None:
        if dispute := self.pick(size):
            refund = str((dispute.amount * (size % 11) / 10).quantize(PLACES))
            deciding.decide(dispute=dispute, refund=refund, note="So.", person=self.staff[size % 2].user)

    def wait(self, size: int) -> None:
        self.at += timedelta(days=size % 9)
        with freeze_time(self.at):
            deciding.reconcile_disputes()

    def pay_out(self, size: int) -> None:
        pay_out(self.owner, str(PLACES * size))

    def pick(self, size: int) -> Dispute | None:
        rows = list(Dispute.objects.exclude(status="final").order_by("pk"))
        return rows[size % len(rows)] if rows else None


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=STEPS)
def test_books_stay_balanced(
    owner: Person, operator: Organisation, settings: Any, steps: list[tuple[str, int]]
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
    with undone():
        staff = [make_user(f"s{n}@gpubroker.example", is_staff=True, is_superuser=True) for n in range(2)]
        person = join(operator, "owner@machines.example", "owner")
        world = World(owner, person, [Person(user=user) for user in staff], now())
        for name, size in steps:
            with freeze_time(world.at), suppress(AppError):
                getattr(world, name)(size)
            assert ledger.check() == []
        check(world)
        for _round in range(4):  # until every deadline has passed
            world.wait(8)
        check(world)


def check(world: World) -> None:
    assert world.renter.organisation is not None
    refunded = Dispute.objects.aggregate(total=Sum("refunded"))["total"] or Decimal(0)
    assert wallet.balance(world.renter.organisation, "USD").available == refunded <= world.paid
    held = Dispute.objects.exclude(status="final").aggregate(total=Sum("held"))["total"] or Decimal(0)
    left, set_aside = earnings(world.owner)
    assert (set_aside, left >= set_aside) == (held, True)
    revenue = Account.objects.filter(kind="revenue", currency="USD").aggregate(
        total=Sum("credits_posted") - Sum("debits_posted")
    )["total"]
    assert revenue is None or revenue >= 0, "of no usage we give back more than our share"
