"""Renewals that failed: one schedule for all services. Nothing of the customer's is deleted; the plan falls to Free.

The first failure makes a subscription `past_due`; the plan holds on while the card is tried again on the days below,
and whenever another card is chosen. After the last try it ends.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from accounts.roles import Permission
from billing import payment_methods
from billing.collected import sync
from billing.lifecycle import SubscriptionStatus, switch_subscription
from billing.models import PaymentMethod, Subscription
from billing.payments import services
from billing.payments.base import Gone, Refused, RemoteInvoice, ServiceDown
from billing.subscriptions import LIVE
from lib.clock import now
from lib.errors import AppError
from lib.leases import claim_due, release, release_failed
from notifications.news import tell

log = logging.getLogger(__name__)
RETRY_DAYS = (1, 3, 5, 7)  # after the first failure
BATCH, LEASE_S, LOOK_S = 20, 120, 900
LONGEST_RUN_S = 45  # the next tick goes on
# A subscription that ended here is ended at the service too, however often that takes.
WATCHED = timedelta(days=7)


def reconcile_subscriptions() -> int:
    """Look at the subscriptions that services renew, as they fall due. Returns how many were looked at."""
    looked, until = 0, monotonic() + LONGEST_RUN_S
    while monotonic() < until:
        rows = claim_due(_watched(), limit=BATCH, seconds=LEASE_S)
        ended_well = [_look_quietly(row) for row in rows]
        looked += len(rows)
        if len(rows) < BATCH or not any(ended_well):  # nothing more is due, or the service is away
            break
    return looked


def _watched() -> QuerySet[Subscription]:
    known = Subscription.objects.exclude(service_ref="").select_related("organisation", "plan")
    recent = known.filter(status=SubscriptionStatus.ENDED, ended_at__gt=now() - WATCHED)
    return known.filter(status__in=[*LIVE, SubscriptionStatus.PENDING]) | recent


def _look_quietly(row: Subscription) -> bool:
    """One that cannot be looked at holds up no other: it waits longer each time. Whether it could."""
    try:
        look(row)
    except (ServiceDown, services.NotConfigured) as away:
        release_failed(row, getattr(away, "detail", away.message))
        return False
    except Exception as failure:
        log.exception("subscription %s", row.public_id)
        release_failed(row, repr(failure))
        return False
    release(row, due_in=LOOK_S)
    return True


def look(subscription: Subscription) -> None:
    """Bring one up to date, and do what the schedule says. Safe to repeat. Raises ServiceDown."""
    unpaid = sync(subscription)
    if unpaid is None or unpaid.reason != "subscription_cycle":
        return
    if subscription.status == SubscriptionStatus.ACTIVE:
        _begin(subscription)
    elif subscription.status == SubscriptionStatus.PAST_DUE:
        _go_on(subscription, unpaid)


def next_try(subscription: Subscription) -> datetime | None:
    """When the card is tried again by itself; None when nothing is due, or it was the last time."""
    if subscription.past_due_since is None or subscription.retries >= len(RETRY_DAYS):
        return None
    return subscription.past_due_since + timedelta(days=RETRY_DAYS[subscription.retries])


@transaction.atomic
def _begin(subscription: Subscription) -> None:
    card = _card_of(subscription)
    columns: dict[str, Any] = {"past_due_since": now(), "retries": 0, "method": card}
    if switch_subscription(subscription, SubscriptionStatus.PAST_DUE, **columns):
        _tell(subscription, "payment_failed", _("The renewal of your plan could not be paid"))


def _go_on(subscription: Subscription, invoice: RemoteInvoice) -> None:
    tries, moment = subscription.retries, next_try(subscription)
    card = _card_of(subscription)
    another = card is not None and card.pk != subscription.method_id
    due = moment is not None and now() >= moment
    if not (another or due):
        return
    if invoice.amount not in {price for _plan, price in subscription.agreed}:
        log.error("subscription %s: %s asks for what nobody agreed to", subscription.public_id, invoice.ref)
        return  # collected it could not be booked: a person voids it at the service
    key = f"card-{card.pk.hex}" if another and card is not None else f"retry-{tries + 1}"
    payable = card is not None or not services.renewals(subscription.service).by_card
    if payable and _paid(subscription, invoice, card.ref if card else "", key):
        return
    Subscription.objects.filter(pk=subscription.pk).update(method=card)
    if due:
        _failed_again(subscription, tries + 1)


def _paid(subscription: Subscription, invoice: RemoteInvoice, card_ref: str, key: str) -> bool:
    """Try the card, and book what comes of it."""
    request_id = f"{key}-{invoice.ref}"
    try:
        services.renewals(subscription.service).collect(invoice, card_ref=card_ref, request_id=request_id)
    except (Refused, Gone) as refusal:
        log.info("subscription %s: %s failed: %s", subscription.public_id, key, refusal)
    sync(subscription)
    return subscription.status == SubscriptionStatus.ACTIVE


def _card_of(subscription: Subscription) -> PaymentMethod | None:
    """What is charged; none where the service collects from the customer's account with it."""
    by_card = services.renewals(subscription.service).by_card
    return payment_methods.default_of(subscription.organisation) if by_card else None


def _failed_again(subscription: Subscription, tries: int) -> None:
    with transaction.atomic():
        same = Subscription.objects.filter(pk=subscription.pk, retries=tries - 1, status=SubscriptionStatus.PAST_DUE)
        if not same.update(retries=tries):
            return
        subscription.refresh_from_db()
        if tries < len(RETRY_DAYS):
            _tell(subscription, "payment_failed", _("The renewal of your plan could not be paid"))
            return
        switch_subscription(subscription, SubscriptionStatus.ENDED, ended_at=now())
        _tell(subscription, "plan_ended", _("Your plan has ended; you are on Free now"))
    try:
        services.renewals(subscription.service).end(subscription.service_ref)
    except AppError as away:  # the next look does it
        log.warning("subscription %s is not ended at the service yet: %s", subscription.public_id, away.message)


def _tell(subscription: Subscription, kind: str, title: StrOrPromise) -> None:
    """Once, in the transaction that changes something."""
    by_card = services.renewals(subscription.service).by_card
    page = "billing:methods" if kind == "payment_failed" and by_card else "billing:plan"
    context = {
        "plan": subscription.plan.name,
        "card": _card_of(subscription),
        "by_card": by_card,
        "next_try": next_try(subscription),
    }
    tell(
        subscription.organisation,
        permission=Permission.SEE_BILLING,
        kind=f"subscription.{kind}",
        title=title,
        body=subscription.plan.name,
        page=reverse(page),
        mail=f"billing/mail/{kind}",
        context=context,
    )
