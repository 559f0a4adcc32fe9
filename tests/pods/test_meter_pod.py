"""Seconds into money: exact, once, from a hold, never beyond what was seen, what the cap leaves, or what there is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.db.models import Sum
from hypothesis import given
from hypothesis import strategies as st

from accounts import actor
from accounts.models import Organisation
from billing import ledger
from billing.accounts import wallet_of
from billing.models import Account
from billing.wallet import balance
from lib.clock import now
from lib.money import round_money
from marketplace.models import Provider, ProviderAccount
from marketplace.providers.base import Instance
from pods import metering, reports
from pods.models import Payer, Placement, Pod, Usage
from pods.moves import begin_move
from pods.states import DesiredStatus, PodStatus, Reason
from tests.pods.market import fund

WORKER = actor.worker("test")
Running = Callable[..., Placement]


@pytest.fixture
def running(renter: Organisation) -> Running:
    """A running pod of this price, with its first minutes held; `advance` lets time pass."""

    def make(price: str = "3.6", **columns: Any) -> Placement:
        provider, _made = Provider.objects.get_or_create(slug=columns.pop("provider", "vast"), defaults={"name": "V"})
        payer = columns.pop("payer", Payer.WALLET)
        pod = Pod.objects.create(
            organisation=renter, name="job", mode="SANDBOX", status=PodStatus.RUNNING, epoch=1, payer=payer, **columns
        )
        started = now() - timedelta(hours=5)
        row = Placement.objects.create(
            pod=pod, epoch=1, provider=provider, status=Placement.Status.LIVE, payer=payer,
            currency="CREDIT" if payer == Payer.CREDITS else "USD", price_per_hour=Decimal(price),
            provider_price_per_hour=Decimal(price), reached_at=started, seen_at=started, ref="r",
        )  # fmt: skip
        row.pod = pod
        metering.open_hold(row)
        return row

    return make


def advance(row: Placement, seconds: float) -> Placement:
    """The pod was seen running for so much longer, and metering looked."""
    assert row.seen_at is not None
    Placement.objects.filter(pk=row.pk).update(seen_at=row.seen_at + timedelta(seconds=seconds))
    metering.meter(row.pk)
    row.refresh_from_db()
    return row


seconds = st.floats(min_value=0, max_value=4000, allow_nan=False)
prices = st.decimals(min_value="0.000001", max_value="999", places=6)


@given(cuts=st.lists(seconds, max_size=30), price=prices)
def test_however_time_is_cut_the_sum_is_the_rounded_price_of_the_whole(cuts: list[float], price: Decimal) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    row = Placement(reached_at=start, seen_at=start, price_per_hour=price, provider_price_per_hour=price)
    amounts, ends = [], [start]
    for cut in cuts:
        assert row.seen_at is not None
        row.seen_at += timedelta(seconds=cut)
        interval = metering.unbilled(row)
        if interval is None:
            continue
        assert interval.started_at == ends[-1]
        assert interval.amount >= 0
        ends.append(interval.ended_at)
        amounts.append(interval.amount)
        row.billed_seconds += interval.seconds
        row.billed_amount += interval.amount
    assert row.seen_at is not None
    whole = int((row.seen_at - start).total_seconds())
    assert row.billed_seconds == whole
    assert sum(amounts, Decimal(0)) == round_money(price * whole / 3600)
    assert all(earlier < later for earlier, later in pairwise(ends))


def test_a_minute_is_charged_from_the_hold_and_the_next_is_held(running: Running, renter: Organisation) -> None:
    row = running("3.6")
    assert balance(renter, "USD").held == Decimal("0.9")  # 15 minutes
    advance(row, 60.7)
    usage = Usage.objects.get()
    assert (usage.seconds, usage.amount, usage.epoch) == (60, Decimal("0.06"), 1)
    assert balance(renter, "USD").available + balance(renter, "USD").held == Decimal("49.94")
    assert balance(renter, "USD").held == Decimal("0.9")
    advance(row, 0.5)
    assert Usage.objects.count() == 2, "the seconds' fractions are not lost"
    owed = Account.objects.filter(kind="provider_cost").aggregate(total=Sum("credits_posted"))["total"]
    assert owed == Decimal("0.061")
    assert ledger.check() == []


def test_metering_twice_charges_once(running: Running) -> None:
    row = advance(running(), 60)
    for _again in range(3):
        metering.meter(row.pk)
    assert Usage.objects.count() == 1


def test_an_interval_cannot_be_stored_twice(running: Running) -> None:
    usage = advance(running(), 60).usage.get()
    usage.pk = uuid4()
    with pytest.raises(IntegrityError), transaction.atomic():
        usage.save(force_insert=True)


def test_a_crash_in_the_middle_neither_loses_nor_doubles(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    row = running()
    with monkeypatch.context() as patched:
        patched.setattr(metering, "_plan_next", _crash)
        with pytest.raises(RuntimeError):
            advance(row, 60)
    assert not Usage.objects.exists()
    metering.meter(row.pk)
    row.refresh_from_db()
    assert (row.billed_seconds, row.billed_amount) == (60, Decimal("0.06"))
    assert ledger.check() == []


def test_nothing_is_charged_before_it_was_reached(running: Running) -> None:
    row = running()
    Placement.objects.filter(pk=row.pk).update(reached_at=None)
    advance(row, 600)
    assert not Usage.objects.exists()


def test_nothing_is_charged_while_nobody_saw_it(running: Running) -> None:
    """So metering pauses when this installation is stopped: nothing is seen, and its pods end with it."""
    row = advance(running(), 60)
    for _tick in range(5):
        metering.meter(row.pk)
    row.refresh_from_db()
    assert row.billed_seconds == 60


def test_a_lost_place_is_charged_until_it_was_last_seen_and_its_hold_is_given_back(
    running: Running, renter: Organisation
) -> None:
    row = advance(running(), 60)
    Placement.objects.filter(pk=row.pk).update(seen_at=row.seen_at + timedelta(seconds=30))  # type: ignore[operator]
    assert begin_move(pod_id=row.pod_id, seen_epoch=1, reason=Reason.NODE_LOST, actor=WORKER)
    metering.meter(row.pk)
    row.refresh_from_db()
    assert (row.billed_seconds, row.meter_due_at) == (90, None)
    assert balance(renter, "USD").held == 0
    reports.store_metric(row.pod, 1, {"at": now().timestamp(), "step": 5})
    metering.meter(row.pk)
    row.refresh_from_db()
    assert row.billed_seconds == 90, "the old place comes back and earns nothing"


def test_a_node_that_says_it_ended_ends_the_bill_there(running: Running) -> None:
    row = running(provider="catalyst")
    Placement.objects.filter(pk=row.pk).update(reached_at=now() - timedelta(seconds=100.5))
    ended = Instance(ref="r", key="k", state="exited", exit_code=0)
    reports.instance_changed(placement=row, instance=ended, actor=actor.node(uuid4()))
    metering.meter(row.pk)
    row.refresh_from_db()
    assert row.billed_seconds == 100
    assert Pod.objects.get().status == PodStatus.COMPLETED


def test_own_nodes_are_billed_by_what_they_say_and_not_by_what_we_remember(running: Running) -> None:
    row = running(provider="catalyst")
    before = row.seen_at
    told_last = Instance(ref="r", key="k", state="running")
    reports.instance_changed(placement=row, instance=told_last, actor=WORKER)
    row.refresh_from_db()
    assert row.seen_at == before
    reports.instance_changed(placement=row, instance=told_last, actor=actor.node(uuid4()))
    row.refresh_from_db()
    assert row.seen_at is not None
    assert before is not None
    assert row.seen_at > before


def test_the_spend_cap_is_never_passed_and_stops_the_pod(running: Running, renter: Organisation) -> None:
    row = running("3.6", spend_cap=Decimal("0.10"))
    assert balance(renter, "USD").held == Decimal("0.10")
    advance(row, 60)
    assert row.meter_due_at is not None
    assert row.meter_due_at < now() + timedelta(seconds=41), "the next look is when the cap is reached"
    advance(row, 600)
    assert row.billed_amount == Decimal("0.10")
    pod = Pod.objects.get()
    assert (pod.desired_status, pod.desired_reason) == (DesiredStatus.STOPPED, Reason.BUDGET_SPENT)
    assert renter_total(renter) == Decimal("49.90")
    assert ledger.check() == []


def test_a_pod_is_warned_once_and_then_stopped_while_there_is_time(running: Running, renter: Organisation) -> None:
    row = running("180")  # 0.05 a second, 45 USD held
    advance(row, 60)
    advance(row, 60)
    pod = Pod.objects.get()
    assert pod.desired_status == DesiredStatus.RUNNING
    advance(row, 60)
    advance(row, 60)
    assert [event.kind for event in pod.events.all()] == ["funds_low"]
    advance(row, 560)
    pod.refresh_from_db()
    assert pod.desired_status == DesiredStatus.RUNNING, "200 seconds are left"
    advance(row, 60)
    advance(row, 60)
    pod.refresh_from_db()
    assert (pod.desired_status, pod.desired_reason) == (DesiredStatus.STOPPED, Reason.NO_FUNDS)
    assert row.held_amount > 0, "the last minutes are paid for"
    assert renter_total(renter) > 0
    fund(renter, Decimal(500))
    assert ledger.check() == []


def test_a_balance_that_is_used_up_charges_what_there_is(running: Running, renter: Organisation) -> None:
    row = advance(running("180"), 3600)
    assert row.billed_amount == Decimal(50)
    assert renter_total(renter) == 0
    assert Pod.objects.get().desired_status == DesiredStatus.STOPPED
    assert ledger.check() == []


def test_without_money_for_the_first_minutes_nothing_is_held(running: Running, renter: Organisation) -> None:
    with pytest.raises(metering.OutOfFunds), transaction.atomic():
        running("1000")
    assert balance(renter, "USD").held == 0


def test_credits_pay_in_credits(running: Running, renter: Organisation) -> None:
    fund(renter, Decimal(10), "CREDIT")
    row = advance(running("0.02", payer=Payer.CREDITS, provider="catalyst"), 3600)
    assert row.billed_amount == Decimal("0.02")
    assert ledger.available(wallet_of(renter, "CREDIT")) == Decimal("9.98") - row.held_amount
    assert renter_total(renter) == 50


def test_a_pod_on_the_customers_own_key_is_metered_and_charged_nothing(running: Running, renter: Organisation) -> None:
    provider = Provider.objects.create(slug="vast", name="V")
    account = ProviderAccount.objects.create(organisation=renter, provider=provider, name="mine", sealed_key=b"x")
    row = advance(running("3.6", payer=Payer.OWN_KEY, provider_account=account), 60)
    assert row.billed_amount == Decimal("0.06")
    assert balance(renter, "USD").available == 50
    assert balance(renter, "USD").held == 0


def test_an_operators_machine_earns_its_share(running: Running, renter: Organisation) -> None:
    operator = Organisation.objects.create(name="Operator")
    row = running("3.6", provider="catalyst")
    Placement.objects.filter(pk=row.pk).update(operator=operator)
    advance(row, 3600)
    earned = Account.objects.get(organisation=operator, kind="earnings")
    assert earned.credits_posted == Decimal("3.06")
    assert ledger.check() == []


def test_an_expired_hold_does_not_stop_the_meter(running: Running, renter: Organisation) -> None:
    row = running("3.6")
    assert row.hold_id is not None
    ledger.release(row.hold_id, id=uuid4())
    advance(row, 60)
    assert row.billed_amount == Decimal("0.06")
    assert balance(renter, "USD").held == Decimal("0.9")
    assert ledger.check() == []


def renter_total(organisation: Organisation) -> Decimal:
    money = balance(organisation, "USD")
    return money.available + money.held


def _crash(*_given: object) -> None:
    raise RuntimeError
