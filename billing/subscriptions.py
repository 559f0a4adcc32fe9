"""A month of a plan: it starts when it is paid, is prolonged by the next payment, and ends by itself.

What a service renews goes on by `continue_paid`, called for each invoice that it has collected; see `billing/renewals.py`.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import datetime
from typing import Any

from django.db.models import Q

from accounts.models import Organisation
from billing.lifecycle import SubscriptionStatus, switch_subscription
from billing.models import Payment, Plan, Subscription
from lib.clock import now

LIVE = (SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE)


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
    _end_running(organisation)
    fresh = Subscription.objects.create(organisation=organisation, plan=plan, status=SubscriptionStatus.PENDING)
    period = {"period_start": moment, "period_end": a_month_after(moment)}
    switch_subscription(fresh, SubscriptionStatus.ACTIVE, **period)
    return fresh


def continue_paid(payment: Payment, subscription: Subscription) -> None:
    """A service has collected `payment` for a subscription that it renews: its plan holds until `payment.paid_until`.

    Called inside the transaction that books the payment, which holds the organisation's row.
    """
    if subscription.status == SubscriptionStatus.ENDED:
        return  # what came in for it is a person's to give back
    if subscription.status == SubscriptionStatus.PENDING:
        _end_running(payment.organisation)
    newer = subscription.period_end is None or (payment.paid_until and payment.paid_until > subscription.period_end)
    columns: dict[str, Any] = {"plan": payment.plan}
    if newer:
        columns |= {"period_start": payment.paid_from, "period_end": payment.paid_until}
    if subscription.next_plan_id == payment.plan_id:
        columns |= {"next_plan": None}
    if subscription.status == SubscriptionStatus.ACTIVE:
        Subscription.objects.filter(pk=subscription.pk).update(**columns)
    else:
        switch_subscription(subscription, SubscriptionStatus.ACTIVE, past_due_since=None, retries=0, **columns)


def _end_running(organisation: Organisation) -> None:
    running = Subscription.objects.filter(organisation=organisation, status__in=LIVE)
    for row in running:
        switch_subscription(row, SubscriptionStatus.ENDED, ended_at=now())


def end_lapsed() -> int:
    """End subscriptions whose paid time is over. `plans.current_plan` does not wait for this."""
    by_itself = Q(service="") | Q(cancel_at_period_end=True)  # others go on, or are not paid: dunning knows
    lapsed = Subscription.objects.filter(by_itself, status=SubscriptionStatus.ACTIVE, period_end__lte=now())
    return sum(switch_subscription(row, SubscriptionStatus.ENDED, ended_at=now()) for row in lapsed[:500])
