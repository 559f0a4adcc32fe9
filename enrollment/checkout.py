"""From a chosen plan to a paid one: the account is made here, before payment, and the key is mailed after it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.db import IntegrityError, transaction
from django.db.models import CharField, Exists, OuterRef, QuerySet, Value
from django.db.models.functions import Cast, Concat
from django.utils.translation import gettext as _

from accounts import actor as actors
from accounts.actor import Actor
from accounts.models import Organisation, User
from accounts.organisations import change_tax_identity
from accounts.people import join_or_make_person
from billing.lifecycle import PaymentStatus
from billing.models import Payment, PaymentMethod, Plan
from billing.payments import checkout as payments
from billing.payments.checkout import Wanted
from enrollment.drafts import save_draft
from enrollment.lifecycle import switch_enrolment
from enrollment.models import Enrolment, IdentityKind
from enrollment.states import EnrolmentStatus
from lib import secrets
from lib.clock import now
from lib.errors import Conflict, Invalid
from notifications.mail import send

log = logging.getLogger(__name__)
KEY_LIFE = timedelta(days=7)
UNPAID = {EnrolmentStatus.STARTED, EnrolmentStatus.ABANDONED}
# How long after its beginning a payment may be heard of that nobody came back from.
WATCHED = timedelta(days=90)
BATCH = 100
KEY_PREFIX = "enrolment-"  # of the idempotency keys of its payments


@dataclass(frozen=True, slots=True)
class Customer:
    """What the checkout asks for. `identity` is needed in Ecuador and refused elsewhere."""

    email: str
    name: str
    country: str
    identity_kind: IdentityKind
    identity: str


def begin(
    *,
    plan: Plan,
    customer: Customer,
    person: User | None,
    session: SessionBase,
    organisation: Organisation | None,
    token: str,
) -> Enrolment:
    """Make the account (or take the one signed in) and the enrolment. A free plan is paid at once.

    The same `token` answers the same enrolment. Raises Conflict for one that was used for something else.
    """
    if plan.price_per_month is None:
        raise Invalid(_("This plan is by contract: write to us."), code="plan_by_contract")
    sent = Enrolment.objects.filter(token=token).select_related("user", "organisation", "plan", "payment")
    enrolment = sent.first()
    if enrolment is None:
        try:
            return _make(plan, customer, person, session, organisation, token)
        except IntegrityError:  # the same form came twice at once
            enrolment = sent.get()
    given = (enrolment.user.email, enrolment.plan_id, enrolment.country, enrolment.identity)
    if given != (customer.email.lower(), plan.pk, customer.country, customer.identity):
        raise Conflict(_("This key was used for another request."), code="idempotency_conflict")
    return enrolment


@transaction.atomic
def _make(
    plan: Plan,
    customer: Customer,
    person: User | None,
    session: SessionBase,
    organisation: Organisation | None,
    token: str,
) -> Enrolment:
    if person is None or organisation is None:
        person, organisation = join_or_make_person(email=customer.email, name=customer.name)
    actor = actors.user(person)
    _take_over_identity(organisation, customer, actor)
    enrolment = Enrolment.objects.create(
        user=person,
        organisation=organisation,
        plan=plan,
        country=customer.country,
        identity_kind=customer.identity_kind,
        identity=customer.identity,
        token=token,
        config=save_draft(session, organisation=organisation, actor=actor),
    )
    if not plan.price_per_month:
        _mark_paid(enrolment)
    return enrolment


def _take_over_identity(organisation: Organisation, customer: Customer, actor: Actor) -> None:
    """What invoices say. Outside Ecuador no number is asked for here: then one that is known, with its country, stays."""
    known = (organisation.country, organisation.tax_id)
    if (organisation.tax_id and not customer.identity) or known == (customer.country, customer.identity):
        return
    change_tax_identity(organisation=organisation, country=customer.country, tax_id=customer.identity, actor=actor)


def start_payment(
    enrolment: Enrolment, *, card: PaymentMethod | None = None, return_url: str, cancel_url: str
) -> Payment:
    """Pay with a saved card, or ask PayPal for an order. One that may still be paid is answered again, whatever it is
    to be paid with: of two, both could be taken. Raises ServiceDown."""
    if enrolment.status not in UNPAID:
        raise Conflict(_("This enrolment has already been paid."))
    before = payments.complete(enrolment.payment_id) if enrolment.payment_id else None
    if before is not None and before.status in {PaymentStatus.CREATED, PaymentStatus.APPROVED, PaymentStatus.CAPTURED}:
        return before
    key = _key(enrolment, before, card)
    actor = actors.user(enrolment.user)
    wanted = Wanted(Payment.Purpose.PLAN, payments.price_of(enrolment.plan), enrolment.plan, card)
    payment = payments.find_or_make(enrolment.organisation, wanted, actor, key)
    # Bound before the service is asked: should its answer be lost, the payment is still this enrolment's.
    Enrolment.objects.filter(pk=enrolment.pk).update(payment=payment)
    return payments.start(
        organisation=enrolment.organisation,
        purpose=Payment.Purpose.PLAN,
        plan=enrolment.plan,
        card=card,
        return_url=return_url,
        cancel_url=cancel_url,
        actor=actor,
        idempotency_key=key,
    )


def _key(enrolment: Enrolment, before: Payment | None, card: PaymentMethod | None) -> str:
    """That of the payment which the service has not heard of yet, when it is to be paid the same way; else a new one."""
    card_id = card.pk if card else None
    same_way = before is not None and (before.method_id, before.amount) == (card_id, enrolment.plan.price_per_month)
    if before is not None and before.status == PaymentStatus.NEW and same_way:
        return before.idempotency_key
    return f"{KEY_PREFIX}{enrolment.pk}-{before.pk if before else 'first'}-{card_id or 'paypal'}"


def finish_payment(enrolment: Enrolment) -> Enrolment:
    """Ask the service whether the order is paid; then mail the activation key. Safe to call again and again."""
    if enrolment.payment_id is None or enrolment.status not in UNPAID:
        return enrolment
    payments.complete(enrolment.payment_id)
    if _paid().filter(pk=enrolment.pk).exists():
        with transaction.atomic():
            _mark_paid(enrolment)
    return enrolment


def finish_paid() -> int:
    """Those who paid and never came back: a notification or the reconciler has booked it. Returns how many."""
    found = _paid().filter(created_at__gt=now() - WATCHED).select_related("user", "plan").order_by("created_at")[:BATCH]
    for enrolment in found:
        try:
            with transaction.atomic():
                _mark_paid(enrolment)
        except Exception:  # one that cannot be told holds up no other
            log.exception("enrolment %s", enrolment.public_id)
    return len(found)


def _paid() -> QuerySet[Enrolment]:
    """Unpaid as far as we know, but one of their payments is booked: the newest, or one before it."""
    own_key = Concat(Value(KEY_PREFIX), Cast(OuterRef("pk"), CharField()), Value("-"))
    booked = Payment.objects.filter(
        organisation=OuterRef("organisation"),
        idempotency_key__startswith=own_key,
        purpose=Payment.Purpose.PLAN,
        plan=OuterRef("plan"),
        status=PaymentStatus.CAPTURED,
    )
    return Enrolment.objects.filter(Exists(booked), status__in=UNPAID)


def _mark_paid(enrolment: Enrolment) -> None:
    if switch_enrolment(enrolment, EnrolmentStatus.PAID):
        send_key(enrolment)


def send_key(enrolment: Enrolment) -> None:
    """A fresh one-time key by mail; the one before stops working."""
    key = secrets.new_token("act")
    Enrolment.objects.filter(pk=enrolment.pk).update(
        key_hash=secrets.hash_token(key), key_sent_at=now(), key_expires_at=now() + KEY_LIFE
    )
    enrolment.refresh_from_db()
    context = {"enrolment": enrolment, "key": key, "url": f"{settings.PUBLIC_URL}/activate/", "days": KEY_LIFE.days}
    send(enrolment.user.email, "enrollment/mail/activation", context)
