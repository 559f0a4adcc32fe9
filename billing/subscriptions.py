"""A month of a plan: it starts when it is paid, is prolonged by the next payment, and ends by itself.

What a service renews goes on by `continue_paid`, called for each invoice that it has collected; see `billing/renewals.py`.
"""

from __future__ import annotations

import logging
from calendar import monthrange
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from accounts.roles import Permission
from billing.lifecycle import PaymentStatus, SubscriptionStatus, switch_subscription
from billing.models import Payment, Plan, Subscription
from lib.clock import now
from lib.leases import hint
from notifications.news import tell

log = logging.getLogger(__name__)
LIVE = (SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE)


def a_month_after(moment: datetime) -> datetime:
    """The same day of the next month, or its last day: 31 January → 28 February."""
    year, month = divmod(moment.year * 12 + moment.month, 12)
    last_day = monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last_day))


def begin_month(organisation: Organisation, plan: Plan) -> Subscription:
    """A paid month of `plan`: added to the running one of the same plan, else from now on in place of the other.

    What a service renews is not prolonged, since the service ends it when it likes: the month follows it as a row of its
    own, and the service is told to stop.

    Called inside the transaction that books the payment, which holds the organisation's row.
    """
    moment = now()
    live = Subscription.objects.select_for_update(no_key=True).filter(organisation=organisation)
    running = live.filter(status=SubscriptionStatus.ACTIVE).first()
    carried = moment
    if running and running.period_end and running.period_end > moment and running.plan_id == plan.pk:
        if not running.service:
            Subscription.objects.filter(pk=running.pk).update(period_end=a_month_after(running.period_end))
            running.refresh_from_db()
            return running
        carried = running.period_end
    _end_running(organisation)
    fresh = Subscription.objects.create(organisation=organisation, plan=plan, status=SubscriptionStatus.PENDING)
    period = {"period_start": carried, "period_end": a_month_after(carried)}
    switch_subscription(fresh, SubscriptionStatus.ACTIVE, **period)
    return fresh


def continue_paid(payment: Payment, subscription: Subscription) -> bool:
    """A service has collected `payment` for a subscription that it renews: its plan holds until `payment.paid_until`.
    False when it has ended: then the money goes back.

    Called inside the transaction that books the payment, which holds the organisation's row.
    """
    # It may end meanwhile: those who end it hold its row, and not the organisation's.
    subscription = Subscription.objects.select_for_update(no_key=True).get(pk=subscription.pk)
    if subscription.status == SubscriptionStatus.ENDED:
        log.error("payment %s was collected for a plan that had ended", payment.public_id)
        return False
    if subscription.status == SubscriptionStatus.PENDING:
        _end_running(payment.organisation)
    newer = subscription.period_end is None or (payment.paid_until and payment.paid_until > subscription.period_end)
    columns: dict[str, Any] = {"plan": payment.plan, "price_per_month": payment.price_per_month}
    if newer:
        columns |= {"period_start": payment.paid_from, "period_end": payment.paid_until}
    if subscription.next_plan_id == payment.plan_id:
        columns |= {"next_plan": None, "next_price_per_month": None}
    before = subscription.status
    if before == SubscriptionStatus.ACTIVE:
        Subscription.objects.filter(pk=subscription.pk).update(**columns)
    else:
        switch_subscription(subscription, SubscriptionStatus.ACTIVE, past_due_since=None, retries=0, **columns)
    if before == SubscriptionStatus.PAST_DUE:
        _tell_recovered(payment)
    return True


def _tell_recovered(payment: Payment) -> None:
    """Whoever has collected it: a try of ours, or the service by itself."""
    assert payment.plan is not None
    tell(
        payment.organisation,
        permission=Permission.SEE_BILLING,
        kind="subscription.payment_recovered",
        title=_("The renewal of your plan is paid"),
        body=payment.plan.name,
        page=reverse("billing:plan"),
        mail="billing/mail/payment_recovered",
        context={"plan": payment.plan.name},
    )


def call_off_waiting(payment: Payment) -> None:
    """The customer has paid for a plan: others, whose page at a service is still open, are not begun any more.

    One that they have agreed to, and whose money is under way, is not among them: it holds up this one before. At a bank's
    page one may still be agreed to, until its service is told: that money goes back.
    """
    waiting = Subscription.objects.filter(organisation=payment.organisation_id, status=SubscriptionStatus.PENDING)
    at_a_page = waiting.exclude(service_ref="").exclude(payments__status=PaymentStatus.APPROVED)
    for row in at_a_page.exclude(payments=payment):
        end_at_once(row)


def _end_running(organisation: Organisation) -> None:
    running = Subscription.objects.filter(organisation=organisation, status__in=LIVE)
    for row in running.select_for_update(no_key=True):
        end_at_once(row)


def end_at_once(subscription: Subscription) -> bool:
    """Before its time is over. A service that renews it is told so at the next look, which is now."""
    if not switch_subscription(subscription, SubscriptionStatus.ENDED, ended_at=now()):
        return False
    if subscription.service:
        hint(Subscription, subscription.pk)
    return True


@transaction.atomic
def end_lapsed() -> int:
    """End subscriptions whose paid time is over. `plans.current_plan` does not wait for this.

    The rows are held, so that none is ended that has just been prolonged; one that is being prolonged is left alone.
    """
    by_itself = Q(service="") | Q(cancel_at_period_end=True)  # others go on, or are not paid: dunning knows
    lapsed = Subscription.objects.filter(by_itself, status=SubscriptionStatus.ACTIVE, period_end__lte=now())
    held = lapsed.select_for_update(no_key=True, skip_locked=True)[:500]
    return sum(switch_subscription(row, SubscriptionStatus.ENDED, ended_at=now()) for row in held)
