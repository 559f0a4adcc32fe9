"""A month of a plan: it starts when it is paid, is prolonged by the next payment, and ends by itself."""

from __future__ import annotations

from calendar import monthrange
from datetime import datetime

from accounts.models import Organisation
from billing.lifecycle import SubscriptionStatus, switch_subscription
from billing.models import Plan, Subscription
from lib.clock import now


def a_month_after(moment: datetime) -> datetime:
    """The same day of the next month, or its last day: 31 January → 28 February."""
    year, month = divmod(moment.year * 12 + moment.month, 12)
    last_day = monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last_day))


def begin_month(organisation: Organisation, plan: Plan) -> Subscription:
    """A paid month of `plan`: added to the running one of the same plan, else from now on in place of the other.

    Called inside the transaction that books the payment, which holds the organisation's row.
    """
    moment = now()
    running = Subscription.objects.filter(organisation=organisation, status=SubscriptionStatus.ACTIVE).first()
    if running and running.period_end and running.period_end > moment and running.plan_id == plan.pk:
        Subscription.objects.filter(pk=running.pk).update(period_end=a_month_after(running.period_end))
        running.refresh_from_db()
        return running
    if running:
        switch_subscription(running, SubscriptionStatus.ENDED, ended_at=moment)
    fresh = Subscription.objects.create(organisation=organisation, plan=plan, status=SubscriptionStatus.PENDING)
    period = {"period_start": moment, "period_end": a_month_after(moment)}
    switch_subscription(fresh, SubscriptionStatus.ACTIVE, **period)
    return fresh


def end_lapsed() -> int:
    """End subscriptions whose paid time is over. `plans.current_plan` does not wait for this."""
    lapsed = Subscription.objects.filter(status=SubscriptionStatus.ACTIVE, period_end__lte=now())
    return sum(switch_subscription(row, SubscriptionStatus.ENDED, ended_at=now()) for row in lapsed[:500])
