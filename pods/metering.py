"""Seconds into money: billed once, exactly, from a hold, for as long as the pod was seen running and no longer.

The price of all seconds of a placement so far, rounded to six places, minus that of those billed before: so the sum of
all intervals is the rounded price of the whole time, however it was cut. What a limit or an empty wallet forgave of an
interval stays forgiven.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from accounts import actor as actors
from billing import usage as wallet
from billing.ledger import Overdraft
from billing.usage import RESERVE, NextHold, Settled
from lib.clock import now
from lib.ids import new_id
from lib.money import round_money
from pods import actions, lifecycle, notices, spend_limits
from pods.models import OPEN_PLACEMENTS, Payer, Placement, Pod, Usage
from pods.states import DesiredStatus, Reason

ACTOR = actors.worker("pods.metering")
SECONDS_PER_HOUR = Decimal(3600)
METER_EVERY = timedelta(seconds=60)
# A pod is stopped when the held money lasts no longer than this: time to save its state.
STOP_SECONDS = 120
MIN_START_SECONDS = RESERVE.seconds


class OutOfFunds(Exception):
    """The account cannot pay for the next minutes."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Whole seconds not billed yet, and what they cost."""

    started_at: datetime
    ended_at: datetime
    seconds: int
    amount: Decimal


def cost(seconds: int, price_per_hour: Decimal) -> Decimal:
    return round_money(price_per_hour * seconds / SECONDS_PER_HOUR)


def due_placements(limit: int = 500) -> list[UUID]:
    rows = Placement.objects.filter(meter_due_at__lte=now()).order_by("meter_due_at")
    return list(rows.values_list("pk", flat=True)[:limit])


def meter(placement_id: UUID) -> None:
    """Bill what is due, and hold the money of the next minutes or let go of it. Safe to call at any time."""
    with transaction.atomic():
        pod_id = Placement.objects.values_list("pod_id", flat=True).get(pk=placement_id)
        pod = Pod.objects.select_for_update(no_key=True, of=("self",)).select_related("organisation").get(pk=pod_id)
        rows = Placement.objects.select_for_update(no_key=True, of=("self",)).select_related("operator")
        placement = rows.get(pk=placement_id)
        placement.pod = pod
        if placement.meter_due_at is None:
            return
        is_over = placement.status not in OPEN_PLACEMENTS or placement.ended_at is not None
        locked = spend_limits.lock(pod.organisation, pod.created_by) if placement.payer == Payer.WALLET else []
        budget = _budget(pod)
        interval = unbilled(placement, room=budget.left)
        if interval is not None:
            charged = _bill(placement, interval, budget, is_over=is_over)
            spend_limits.count(locked, charged)
            budget = budget.after(charged)
        if is_over:
            drop_hold(placement)
            Placement.objects.filter(pk=placement.pk).update(meter_due_at=None)
        else:
            _plan_next(pod, placement, budget)


def unbilled(placement: Placement, *, room: Decimal | None = None) -> Interval | None:
    """The whole seconds that were seen and not billed. `room` is what the spend cap leaves: nothing above is billed."""
    if placement.reached_at is None or placement.seen_at is None:
        return None
    until = min(placement.seen_at, placement.ended_at or placement.seen_at)
    run = max(0, int((until - placement.reached_at).total_seconds()))
    seconds = placement.earlier_seconds + run - placement.billed_seconds
    if seconds <= 0:
        return None
    before = cost(placement.billed_seconds, placement.price_per_hour)
    amount = cost(placement.billed_seconds + seconds, placement.price_per_hour) - before
    if room is not None:
        amount = min(amount, room)
    billed_of_run = placement.billed_seconds - placement.earlier_seconds
    started_at = placement.reached_at + timedelta(seconds=billed_of_run)
    return Interval(started_at, started_at + timedelta(seconds=seconds), seconds, max(amount, Decimal(0)))


def finish(placement: Placement) -> None:
    """Bill what is left of an ended run, and read the row anew."""
    meter(placement.pk)
    placement.refresh_from_db()


def open_hold(placement: Placement) -> None:
    """Hold the money of the first minutes, in the caller's transaction. Raises OutOfFunds."""
    amount = _next_hold(placement, _budget(placement.pod))
    if amount <= 0:
        raise OutOfFunds
    hold_id = None
    if placement.payer != Payer.OWN_KEY:
        hold_id = new_id()
        try:
            with transaction.atomic():
                wallet.reserve(
                    placement.pod.organisation,
                    payer=placement.payer,
                    currency=placement.currency,
                    amount=amount,
                    source_id=placement.pk,
                    hold_id=hold_id,
                )
        except Overdraft:
            raise OutOfFunds from None
    _set_hold(placement, hold_id, amount)
    Placement.objects.filter(pk=placement.pk).update(meter_due_at=now() + METER_EVERY)


def drop_hold(placement: Placement) -> None:
    """Give the held money back, in the caller's transaction."""
    if placement.hold_id is not None:
        wallet.release(placement.hold_id)
    _set_hold(placement, None, Decimal(0))


def close_run(placement: Placement) -> None:
    """Before a kept instance runs again: the finished run becomes part of the past. Everything of it is billed."""
    finish(placement)
    Placement.objects.filter(pk=placement.pk).update(
        earlier_seconds=placement.billed_seconds, reached_at=None, seen_at=None, ended_at=None
    )
    placement.refresh_from_db()


def spent(pod: Pod) -> Decimal:
    """Everything billed for a pod so far, over all its places."""
    return pod.placements.aggregate(total=Sum("billed_amount"))["total"] or Decimal(0)


@dataclass(frozen=True, slots=True)
class _Budget:
    """What a pod's own cap and the monthly limits leave. None: there are none."""

    cap_left: Decimal | None
    month: spend_limits.Room | None

    @property
    def left(self) -> Decimal | None:
        bounds = [self.cap_left, self.month.left if self.month else None]
        return min((bound for bound in bounds if bound is not None), default=None)

    def after(self, charged: Decimal) -> _Budget:
        cap_left = None if self.cap_left is None else max(Decimal(0), self.cap_left - charged)
        month = self.month and replace(self.month, left=max(Decimal(0), self.month.left - charged))
        return _Budget(cap_left, month)


def _budget(pod: Pod) -> _Budget:
    cap_left = None if pod.spend_cap is None else max(Decimal(0), pod.spend_cap - spent(pod))
    return _Budget(cap_left, spend_limits.room_for(pod.organisation, pod.created_by, payer=pod.payer))


def _bill(placement: Placement, interval: Interval, budget: _Budget, *, is_over: bool) -> Decimal:
    """Returns what could be charged."""
    row = Usage(
        placement=placement,
        epoch=placement.epoch,
        started_at=interval.started_at,
        ended_at=interval.ended_at,
        seconds=interval.seconds,
        amount=interval.amount,
        currency=placement.currency,
        payer=placement.payer,
    )
    if placement.payer != Payer.OWN_KEY and interval.amount > 0:
        row.amount = _settle(placement, row, budget.after(row.amount), is_over=is_over)
    row.save(force_insert=True)
    placement.billed_seconds += interval.seconds
    placement.billed_amount += row.amount
    placement.billed_until = interval.ended_at
    placement.save(update_fields=["billed_seconds", "billed_amount", "billed_until"])
    return row.amount


def _settle(placement: Placement, row: Usage, left: _Budget, *, is_over: bool) -> Decimal:
    """Charge the interval and hold the next minutes with it. Returns what could be charged."""
    pod = placement.pod
    reserve = _next_hold(placement, left)
    settled = wallet.settle(
        placement.hold_id,
        organisation=pod.organisation,
        currency=placement.currency,
        usage_id=row.pk,
        amount=row.amount,
        operator=placement.operator,
        provider_slug=placement.provider_id,
        keep_open=None if is_over or reserve <= 0 else NextHold(new_id(), reserve),
        memo=pod.name,
    )
    _set_hold(placement, settled.hold_id, settled.held)
    if not is_over:
        _watch_funds(pod, placement, settled)
    return settled.charged


def _watch_funds(pod: Pod, placement: Placement, settled: Settled) -> None:
    """Warn once when less than a full reserve could be held; stop while there is time to save the pod's state."""
    last_minutes = cost(STOP_SECONDS, placement.price_per_hour)
    if (settled.short or settled.exhausted) and settled.held <= last_minutes:
        _stop(pod, Reason.NO_FUNDS, _("The balance does not cover the next minutes."))
    if settled.short and pod.funds_warned_at is None:
        Pod.objects.filter(pk=pod.pk).update(funds_warned_at=now())
        minutes = int(settled.held * SECONDS_PER_HOUR / placement.price_per_hour) // 60
        message = _("The balance pays for about %s more minutes.") % minutes
        lifecycle.record(pod, "funds_low", actor=ACTOR, reason=Reason.NO_FUNDS, message=message)
        notices.plan(pod, notices.FUNDS_LOW, message)
        lifecycle.tell_pages(pod)
    elif not settled.short and pod.funds_warned_at is not None:
        Pod.objects.filter(pk=pod.pk).update(funds_warned_at=None)


def _plan_next(pod: Pod, placement: Placement, budget: _Budget) -> None:
    """Look again in a minute, or at the moment when a spend limit is reached; there the pod is stopped."""
    due_in, room = METER_EVERY, budget.left
    if room is not None and room <= 0:
        _stop_at_limit(pod, budget)
    elif room is not None and placement.reached_at is not None and placement.price_per_hour > 0:
        due_in = min(due_in, timedelta(seconds=max(1.0, float(room * SECONDS_PER_HOUR / placement.price_per_hour))))
    Placement.objects.filter(pk=placement.pk).update(meter_due_at=now() + due_in)


def _stop(pod: Pod, reason: Reason, message: str) -> None:
    actions.want(pod, DesiredStatus.STOPPED, reason=reason, actor=ACTOR, message=message)


def _next_hold(placement: Placement, budget: _Budget) -> Decimal:
    """The cost of the next minutes, as far as the budget leaves room for it."""
    amount = wallet.reserve_amount(placement.price_per_hour)
    return amount if budget.left is None else min(amount, budget.left)


def _set_hold(placement: Placement, hold_id: UUID | None, amount: Decimal) -> None:
    placement.hold_id, placement.held_amount = hold_id, amount
    Placement.objects.filter(pk=placement.pk).update(hold_id=hold_id, held_amount=amount)


def _stop_at_limit(pod: Pod, budget: _Budget) -> None:
    if budget.cap_left is not None and budget.cap_left <= 0:
        _stop(pod, Reason.BUDGET_SPENT, _("Its spend cap of %s is reached.") % pod.spend_cap)
    elif budget.month is not None:
        _stop(pod, Reason.LIMIT_REACHED, budget.month.message)
