"""Plans that a payment service renews: begun, changed, ended by the customer. What it collects: `billing/collected.py`."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import formats
from django.utils.translation import gettext as _

from accounts import audit
from accounts.actor import Actor
from accounts.models import Organisation
from billing import payment_methods
from billing.collected import plan_page, price_ref, running, sync
from billing.lifecycle import PaymentStatus, SubscriptionStatus, switch_payment, switch_subscription
from billing.models import Payment, PaymentMethod, Plan, Subscription
from billing.payments import checkout, turns
from billing.payments.base import Gone, NewSubscription, Preview, PreviewLine, Refused
from billing.payments.checkout import CURRENCY, Wanted, price_of
from billing.payments.services import PAYPAL, STRIPE, prorating, renewals
from billing.subscriptions import LIVE, end_at_once
from lib.clock import now
from lib.errors import Conflict, Invalid

log = logging.getLogger(__name__)
# Between the look at a preview and the yes to it.
LONGEST_THOUGHT = timedelta(minutes=15)
# How long a subscription may be on its way to the service, before another one is begun.
BEING_BEGUN = timedelta(minutes=2)
# As Stripe names why somebody leaves: https://docs.stripe.com/api/subscriptions/update
REASONS = ("too_expensive", "missing_features", "unused", "switched_service", "low_quality", "too_complex", "other")


@dataclass(frozen=True, slots=True)
class Offer:
    """A change as it is shown before somebody agrees: what is taken now, and each month from `next_at` on."""

    old: Plan
    plan: Plan
    at: datetime
    now: Preview
    next_amount: Decimal
    next_at: datetime | None

    @property
    def is_upgrade(self) -> bool:
        return self.now.amount > 0

    @property
    def lines(self) -> list[tuple[str, Decimal]]:
        """What the sum now is made of, in the reader's language."""
        return [(self._say(line), line.amount) for line in self.now.lines]

    def _say(self, line: PreviewLine) -> str:
        sentences = {
            "unused": _("Unused: %(old)s from %(start)s to %(end)s"),
            "rest": _("%(new)s from %(start)s to %(end)s"),
            "other": _("Other charges or credits, from %(start)s to %(end)s"),
        }
        start, end = (formats.date_format(moment, "DATE_FORMAT") for moment in (line.start, line.end))
        return sentences[line.kind] % {"old": self.old.name, "new": self.plan.name, "start": start, "end": end}


@dataclass(frozen=True, slots=True)
class Change:
    """What has come of a yes: a payment, when something is charged now; where to agree, when the service asks too."""

    payment: Payment | None = None
    approve_url: str = ""


def renewed_subscription(organisation: Organisation) -> Subscription | None:
    """The live one that a service renews."""
    rows = Subscription.objects.filter(organisation=organisation, status__in=LIVE).exclude(service="")
    return rows.select_related("plan", "next_plan", "organisation").first()


def start(
    *,
    organisation: Organisation,
    plan: Plan,
    card: PaymentMethod | None,
    shown: Decimal | None = None,
    actor: Actor,
    idempotency_key: str,
) -> Payment:
    """A plan that renews itself each month with this card, or by PayPal. Its first month is the payment that is answered.

    Raises Conflict when another one runs and when its price is not the one that was `shown`, ServiceDown when nothing can
    be charged yet. The same key goes on where it stopped.
    """
    amount = price_of(plan, shown)
    begun = Payment.objects.filter(organisation=organisation, idempotency_key=idempotency_key)
    if not begun.exclude(status=PaymentStatus.NEW).exists():  # else it is this one that runs
        if renewed_subscription(organisation) is not None:
            raise _already_subscribed()
        _check_used_up(organisation, plan)
    wanted = Wanted("plan", amount, plan, card, price_per_month=amount)
    payment = _first_payment(organisation, wanted, actor, idempotency_key)
    if payment.status == PaymentStatus.NEW:
        try:
            _drop_unpaid(payment)
            if card is not None and not card.is_default:
                payment_methods.choose_default(card, actor)
            _subscribe(payment, plan)
        except Conflict as refusal:
            _abandon(payment, refusal.code)
            raise
    return payment if payment.approve_url else checkout.complete_or_wait(payment)


def _already_subscribed() -> Conflict:
    return Conflict(_("You have a plan that renews itself: change it instead."), code="already_subscribed")


def _check_used_up(organisation: Organisation, plan: Plan) -> None:
    """What was paid of this plan by the month is used up first: a renewed one begins now, in its place."""
    months = Subscription.objects.filter(organisation=organisation, plan=plan, service="", status__in=LIVE)
    until = months.filter(period_end__gt=now()).values_list("period_end", flat=True).first()
    if until is not None:
        message = _("This plan is paid until %(date)s: let it renew after that day.")
        raise Conflict(message % {"date": formats.date_format(until, "DATE_FORMAT")}, code="still_paid")


@transaction.atomic
def _first_payment(organisation: Organisation, wanted: Wanted, actor: Actor, key: str) -> Payment:
    """Bound to what it begins from the start, so that nobody takes it for a month that is paid once."""
    Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
    begun = Payment.objects.filter(organisation=organisation, idempotency_key=key).first()
    if begun is not None and begun.subscription is None:
        raise checkout.key_was_used()
    subscription = begun.subscription if begun is not None else _make_pending(organisation, wanted)
    return checkout.find_or_make(organisation, replace(wanted, subscription=subscription), actor, key)


def _make_pending(organisation: Organisation, wanted: Wanted) -> Subscription:
    """Two at once, in two windows: the later one finds out what has become of the other when it is at the service."""
    young = Subscription.objects.filter(created_at__gt=now() - BEING_BEGUN, service_ref="").exclude(service="")
    if young.filter(organisation=organisation, status=SubscriptionStatus.PENDING).exists():
        raise Conflict(_("A plan is being begun right now: look again in a moment."), code="in_progress")
    assert wanted.plan is not None
    return Subscription.objects.create(
        organisation=organisation,
        plan=wanted.plan,
        price_per_month=wanted.price_per_month,
        status=SubscriptionStatus.PENDING,
        service=wanted.card.service if wanted.card else PAYPAL,
        method=wanted.card,
    )


def _drop_unpaid(payment: Payment) -> None:
    """Who begins anew does not want to pay for what they left at the bank's page, or PayPal's, unless they have paid it
    meanwhile."""
    waiting = Subscription.objects.filter(organisation=payment.organisation, status=SubscriptionStatus.PENDING)
    for row in waiting.exclude(service_ref="").exclude(payments=payment):
        sync(row)
        if row.status == SubscriptionStatus.PENDING:
            if running(row).state == "active":  # begun, and its first month is still with the payer's bank
                raise turns.under_way()
            _drop(row)
        if row.status in LIVE:
            raise _already_subscribed()


def _drop(row: Subscription) -> None:
    """Ours first: from then on no worker begins it, and what is paid for it all the same goes back."""
    with transaction.atomic():
        Organisation.objects.select_for_update(no_key=True).get(pk=row.organisation_id)  # as who takes its turn
        if row.payments.filter(status=PaymentStatus.APPROVED).exists():
            raise turns.under_way()
        row.refresh_from_db(fields=["status"])
        if row.status == SubscriptionStatus.PENDING:
            end_at_once(row)
    if row.status == SubscriptionStatus.ENDED:
        renewals(row.service).end(row.service_ref)


def _abandon(payment: Payment, reason: str) -> None:
    """Nothing of it has come to the service, or that has refused it: another one may be begun at once."""
    payment.refresh_from_db()
    if payment.status == PaymentStatus.NEW:
        switch_payment(payment, PaymentStatus.FAILED, reason=reason)
    begun = payment.subscription
    if payment.status == PaymentStatus.FAILED and begun is not None and begun.status == SubscriptionStatus.PENDING:
        switch_subscription(begun, SubscriptionStatus.ENDED, ended_at=now())


def _subscribe(payment: Payment, plan: Plan) -> None:
    """At the service it waits for its first payment, whose order we remember before it is paid."""
    subscription, card = payment.subscription, payment.method
    assert subscription is not None
    remote = renewals(subscription.service)
    pages = checkout.own_pages()
    try:
        new = NewSubscription(
            reference=subscription.public_id,
            payment=payment.public_id,
            price_ref=remote.price(plan.pk, plan.name, payment.amount, payment.currency),
            return_url=pages["return_url"].replace("{payment}", payment.public_id),
            cancel_url=pages["cancel_url"].replace("{payment}", payment.public_id),
            customer_ref=payment_methods.customer_of(payment.organisation) if card else "",
            card_ref=card.ref if card else "",
        )
        begun = remote.subscribe(new, request_id=f"subscribe-{subscription.pk.hex}")
    except (Refused, Gone) as refusal:
        switch_payment(payment, PaymentStatus.FAILED, reason=str(refusal)[:48])
        raise Conflict(_("The payment service refused this payment."), code="payment_refused") from refusal
    with transaction.atomic():
        Subscription.objects.filter(pk=subscription.pk).update(service_ref=begun.ref, item_ref=begun.item_ref)
        columns: dict[str, Any] = {"paid_from": begun.period_start, "paid_until": begun.period_end}
        columns |= {"order_ref": begun.intent_ref, "approve_url": begun.approve_url}
        switch_payment(payment, PaymentStatus.CREATED, **columns)


def offer(subscription: Subscription, plan: Plan, *, at: datetime | None = None) -> Offer:
    """What changing to `plan` costs: what was agreed for it, should it run or wait; else what it is sold for. Raises
    Conflict for what cannot be changed now, ServiceDown."""
    at = (at or now()).replace(microsecond=0)
    sync(subscription)
    _check_changeable(subscription, plan)
    agreed = {row.pk: price for row, price in subscription.agreed}
    amount = agreed.get(plan.pk) or price_of(plan)
    theirs = running(subscription)
    if not theirs.settled:
        raise Conflict(_("The renewal of this month is being collected: change the plan after it."), code="renewing")
    nothing = Preview(Decimal(0), CURRENCY, ())
    if amount <= agreed[subscription.plan_id] or subscription.service != STRIPE:
        return Offer(subscription.plan, plan, at, nothing, amount, subscription.period_end)
    if subscription.next_plan is not None:  # its price is at the service already, and would be taken for today's
        message = _("The change to %(plan)s waits for the next renewal: take it back first.")
        raise Conflict(message % {"plan": subscription.next_plan.name}, code="change_waiting")
    shown = prorating(subscription.service).preview(theirs, price_ref(subscription, plan, amount), at=at)
    return Offer(subscription.plan, plan, at, shown, amount, subscription.period_end)


def change(
    subscription: Subscription,
    plan: Plan,
    *,
    agreed: tuple[Decimal, Decimal],
    at: datetime,
    actor: Actor,
    idempotency_key: str,
) -> Change:
    """To a dearer plan at once, the difference charged; to a cheaper one with the next renewal. With PayPal all changes
    come with the next renewal, once the customer has agreed to them there.

    `agreed`, the sum now and that of each month after, and `at` are those of the offer. Raises Conflict when the offer
    is not what it was.
    """
    again = Payment.objects.filter(organisation=subscription.organisation, idempotency_key=idempotency_key).first()
    if again is not None and again.plan_id != plan.pk:
        raise checkout.key_was_used()
    if again is not None and again.status == PaymentStatus.NEW:  # we may have died after it was collected
        sync(subscription)
        again.refresh_from_db()
    if again is not None and again.status != PaymentStatus.NEW:
        return Change(again)
    if not now() - LONGEST_THOUGHT <= at <= now() + timedelta(minutes=1):
        raise Conflict(_("This offer is too old: look at it again."), code="offer_expired")
    shown = offer(subscription, plan, at=at)
    if (shown.now.amount, shown.next_amount) != agreed:
        raise Conflict(_("The sum has changed: look at the offer again."), code="offer_changed")
    if not shown.is_upgrade:
        return Change(approve_url=_change_next(subscription, shown, actor))
    return Change(_upgrade(subscription, shown, actor, idempotency_key))


def _upgrade(subscription: Subscription, shown: Offer, actor: Actor, key: str) -> Payment:
    card = payment_methods.default_of(subscription.organisation)
    if card is None:
        raise Conflict(_("Save a card first."), code="no_card")
    until, price = subscription.period_end, shown.next_amount
    wanted = Wanted("plan", shown.now.amount, shown.plan, card, subscription, shown.at, until, price)
    payment = checkout.find_or_make(subscription.organisation, wanted, actor, key)
    try:
        prorating(subscription.service).change_now(
            running(subscription),
            price_ref(subscription, shown.plan, price),
            at=shown.at,
            reference=payment.public_id,
            request_id=f"change-{payment.pk.hex}",
        )
    except Refused as refusal:
        switch_payment(payment, PaymentStatus.FAILED, reason=refusal.issue[:48])
        return payment
    sync(subscription)
    payment.refresh_from_db()
    return payment


def _change_next(subscription: Subscription, shown: Offer, actor: Actor) -> str:
    """The price changes at the service, for the invoices to come; what was paid stays until then.

    Where the customer needs not agree there, it is written first: should the call be lost, `sync` makes it again.
    """
    remote, plan, price = renewals(subscription.service), shown.plan, shown.next_amount
    with transaction.atomic():
        if remote.by_card:
            later = (None, None) if plan.pk == subscription.plan_id else (plan, price)
            columns = dict(zip(("next_plan", "next_price_per_month"), later, strict=True))
            Subscription.objects.filter(pk=subscription.pk).update(**columns)
        about = {"plan": plan.pk, "price_per_month": str(price)}
        audit.record(subscription.organisation_id, actor, "subscription.change", subscription, about)
    try:
        return remote.change_next(running(subscription), price_ref(subscription, plan, price), return_url=plan_page())
    except (Refused, Gone) as refusal:
        if remote.by_card:
            raise
        raise Conflict(_("PayPal does not change this plan."), code="payment_refused") from refusal


def cancel(subscription: Subscription, *, reason: str, comment: str, actor: Actor) -> None:
    """It ends with the month that is paid. `reason` is one of REASONS."""
    if reason not in REASONS:
        message = _("Choose a reason.")
        raise Invalid(message, fields={"reason": [message]})
    sync(subscription)
    if subscription.status == SubscriptionStatus.ENDED:
        return
    if subscription.status == SubscriptionStatus.PAST_DUE:
        _end(subscription, reason, comment, actor)
        return
    renewals(subscription.service).end_with_period(subscription.service_ref, True, comment=comment, feedback=reason)
    _remember_end(subscription, True, reason, comment, actor)


def resume(subscription: Subscription, *, actor: Actor) -> None:
    """Renew it after all. Raises Conflict when it does not end, or has ended."""
    if not subscription.cancel_at_period_end:
        raise Conflict(_("This plan does not end."), code="not_ending")
    over = Conflict(_("This plan cannot go on: choose one when it has ended."), code="cannot_resume")
    if subscription.period_end is not None and subscription.period_end <= now():
        raise over
    try:
        renewals(subscription.service).end_with_period(subscription.service_ref, False)
    except (Refused, Gone) as refusal:  # the customer has cancelled it at PayPal
        raise over from refusal
    _remember_end(subscription, False, "", "", actor)


def _end(subscription: Subscription, reason: str, comment: str, actor: Actor) -> None:
    """Of a month that is not paid there is nothing left to wait for."""
    with transaction.atomic():
        if not end_at_once(subscription):
            raise Conflict(_("The plan has just changed: look at it again."), code="changed")
        _remember_end(subscription, False, reason, comment, actor)
    renewals(subscription.service).end(subscription.service_ref)


@transaction.atomic
def _remember_end(subscription: Subscription, ends: bool, reason: str, comment: str, actor: Actor) -> None:
    Subscription.objects.filter(pk=subscription.pk).update(
        cancel_at_period_end=ends, cancel_reason=reason, cancel_comment=comment[:400]
    )
    verb = "subscription.cancel" if reason else "subscription.resume"
    audit.record(subscription.organisation_id, actor, verb, subscription, {"reason": reason})


def _check_changeable(subscription: Subscription, plan: Plan) -> None:
    if subscription.status != SubscriptionStatus.ACTIVE:
        raise Conflict(_("The last renewal is not paid yet: pay it first."), code="past_due")
    if subscription.cancel_at_period_end:
        raise Conflict(_("This plan ends with its month: resume it first."), code="ending")
    if plan.pk == subscription.plan_id and subscription.next_plan_id is None:
        raise Conflict(_("You have this plan."), code="same_plan")
