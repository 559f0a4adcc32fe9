"""Saved cards of an organisation: Stripe keeps them, we keep what a person knows them by.

A card's number goes from the browser to Stripe alone. Rows are made and changed by asking Stripe, never by what a browser
or a notification says.
"""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts import audit
from accounts.actor import Actor
from accounts.models import Organisation
from billing.models import PaymentMethod, ServiceCustomer, Subscription
from billing.payments.base import Card, Gone, Refused, ServiceDown
from billing.payments.services import STRIPE, stripe
from billing.states import SubscriptionStatus
from billing.subscriptions import LIVE
from lib.clock import now
from lib.errors import Conflict
from lib.leases import hint


def begin(organisation: Organisation) -> dict[str, str]:
    """What a browser needs to give a card to Stripe: the publishable key, and a secret for one card."""
    secret = stripe().begin_setup(customer_of(organisation), request_id=f"setup-{uuid4().hex}")
    return {"client_secret": secret, "publishable_key": settings.STRIPE_PUBLISHABLE_KEY}


def cards_of(organisation: Organisation) -> QuerySet[PaymentMethod]:
    """The one that is used first leads."""
    return PaymentMethod.objects.filter(organisation=organisation, removed_at=None).order_by("-is_default", "-pk")


def default_of(organisation: Organisation) -> PaymentMethod | None:
    return cards_of(organisation).filter(is_default=True).first()


def customer_of(organisation: Organisation) -> str:
    """Who the organisation is at Stripe. Made at the first need; Stripe makes one however often it is asked."""
    known = ServiceCustomer.objects.filter(organisation=organisation, service=STRIPE).first()
    if known is None:
        ref = stripe().create_customer(organisation.public_id, request_id=f"customer-{organisation.pk.hex}")
        known, _made = ServiceCustomer.objects.get_or_create(
            organisation=organisation, service=STRIPE, defaults={"ref": ref}
        )
    return known.ref


def refresh(organisation: Organisation) -> None:
    """Bring the rows up to what Stripe keeps: new cards come, forgotten ones go."""
    customer = ServiceCustomer.objects.filter(organisation=organisation, service=STRIPE).first()
    if customer is None:
        return
    try:
        cards = stripe().cards(customer.ref)
    except Gone:
        raise ServiceDown("Stripe does not know this customer") from None
    chosen = _apply(organisation, cards)
    if chosen is not None:
        stripe().make_default(customer.ref, chosen.ref)


def refresh_of(customer_ref: str) -> None:
    """`refresh` for whoever this customer is; one of somebody else's is nobody."""
    customer = ServiceCustomer.objects.filter(service=STRIPE, ref=customer_ref).select_related("organisation").first()
    if customer is not None:
        refresh(customer.organisation)


def choose_default(card: PaymentMethod, actor: Actor) -> None:
    """Renewals and automatic top-ups are charged to this one."""
    organisation = card.organisation
    _at_stripe(card)
    with transaction.atomic():
        _lock(organisation)
        _set_default(organisation, card)
        audit.record(organisation.pk, actor, "card.default", card)
        _try_failed_renewals(organisation)


def remove(card: PaymentMethod, actor: Actor) -> None:
    """Forget a card. Raises Conflict for the one that a subscription is renewed with."""
    organisation = card.organisation
    if (
        card.is_default
        and Subscription.objects.filter(
            organisation=organisation, service=STRIPE, status__in=LIVE, cancel_at_period_end=False
        ).exists()
    ):
        message = _("Your plan is renewed with this card. Choose another one first, or cancel the plan.")
        raise Conflict(message, code="card_in_use")
    stripe().forget(card.ref)
    with transaction.atomic():
        _lock(organisation)
        PaymentMethod.objects.filter(pk=card.pk).update(removed_at=now(), is_default=False)
        chosen = _choose_if_none(organisation)
        audit.record(organisation.pk, actor, "card.remove", card)
    if chosen is not None:
        _at_stripe(chosen)


def _at_stripe(card: PaymentMethod) -> None:
    try:
        stripe().make_default(customer_of(card.organisation), card.ref)
    except (Gone, Refused):
        raise Conflict(_("Stripe does not keep this card any more. Add it again."), code="card_gone") from None


@transaction.atomic
def _apply(organisation: Organisation, cards: list[Card]) -> PaymentMethod | None:
    """The rows as Stripe says; the card that was chosen for want of another one."""
    _lock(organisation)
    for card in cards:
        shown = {"brand": card.brand, "last4": card.last4, "exp_month": card.exp_month, "exp_year": card.exp_year}
        PaymentMethod.objects.update_or_create(
            service=STRIPE,
            ref=card.ref,
            organisation=organisation,
            defaults={**shown, "fingerprint": card.fingerprint, "removed_at": None},
        )
    gone = PaymentMethod.objects.filter(organisation=organisation, service=STRIPE, removed_at=None)
    gone.exclude(ref__in=[card.ref for card in cards]).update(removed_at=now(), is_default=False)
    return _choose_if_none(organisation)


def _choose_if_none(organisation: Organisation) -> PaymentMethod | None:
    if default_of(organisation) is not None:
        return None
    newest = cards_of(organisation).first()
    if newest is not None:
        _set_default(organisation, newest)
        _try_failed_renewals(organisation)
    return newest


def _set_default(organisation: Organisation, card: PaymentMethod) -> None:
    PaymentMethod.objects.filter(organisation=organisation, is_default=True).update(is_default=False)
    PaymentMethod.objects.filter(pk=card.pk, removed_at=None).update(is_default=True)


def _try_failed_renewals(organisation: Organisation) -> None:
    """What a former card did not pay is tried with this one at the next look, which is now."""
    for row in Subscription.objects.filter(organisation=organisation, status=SubscriptionStatus.PAST_DUE):
        hint(Subscription, row.pk)


def _lock(organisation: Organisation) -> None:
    Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
