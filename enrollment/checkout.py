"""From a chosen plan to a paid one: the account is made here, before payment, and the key is mailed after it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.utils.translation import gettext as _

from accounts import actor as actors
from accounts.models import Organisation, User
from accounts.people import join_or_make_person
from billing.lifecycle import PaymentStatus
from billing.models import Payment, PaymentMethod, Plan
from billing.payments import checkout as payments
from enrollment.drafts import save_draft
from enrollment.lifecycle import switch_enrolment
from enrollment.models import Enrolment, IdentityKind
from enrollment.states import EnrolmentStatus
from lib import secrets
from lib.clock import now
from lib.errors import Conflict, Invalid
from notifications.mail import send

KEY_LIFE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Customer:
    """What the checkout asks for. `identity` is needed in Ecuador and refused elsewhere."""

    email: str
    name: str
    country: str
    identity_kind: IdentityKind
    identity: str


def begin(
    *, plan: Plan, customer: Customer, person: User | None, session: SessionBase, organisation: Organisation | None
) -> Enrolment:
    """Make the account (or take the one signed in) and the enrolment. A free plan is paid at once."""
    if plan.price_per_month is None:
        raise Invalid(_("This plan is by contract: write to us."), code="plan_by_contract")
    with transaction.atomic():
        if person is None or organisation is None:
            person, organisation = join_or_make_person(email=customer.email, name=customer.name)
        organisation.country = customer.country
        organisation.tax_id = customer.identity
        organisation.save(update_fields=["country", "tax_id"])
        enrolment = Enrolment.objects.create(
            user=person,
            organisation=organisation,
            plan=plan,
            country=customer.country,
            identity_kind=customer.identity_kind,
            identity=customer.identity,
            config=save_draft(session, organisation=organisation, actor=actors.user(person)),
        )
        if not plan.price_per_month:
            _mark_paid(enrolment)
    return enrolment


def start_payment(
    enrolment: Enrolment, *, card: PaymentMethod | None = None, return_url: str, cancel_url: str
) -> Payment:
    """Pay with a saved card, or ask PayPal for an order. Asking again while it waits answers the same order."""
    if enrolment.status not in {EnrolmentStatus.STARTED, EnrolmentStatus.ABANDONED}:
        raise Conflict(_("This enrolment has already been paid."))
    payment = payments.start(
        organisation=enrolment.organisation,
        purpose=Payment.Purpose.PLAN,
        plan=enrolment.plan,
        card=card,
        return_url=return_url,
        cancel_url=cancel_url,
        actor=actors.user(enrolment.user),
        idempotency_key=f"enrolment-{enrolment.pk}-{enrolment.payment_id or 'first'}",
    )
    Enrolment.objects.filter(pk=enrolment.pk).update(payment=payment)
    return payment


def finish_payment(enrolment: Enrolment) -> Enrolment:
    """Ask the service whether the order is paid; then mail the activation key. Safe to call again and again."""
    if enrolment.payment_id is None or enrolment.status != EnrolmentStatus.STARTED:
        return enrolment
    payment = payments.complete(enrolment.payment_id)
    if payment.status == PaymentStatus.CAPTURED:
        with transaction.atomic():
            _mark_paid(enrolment)
    return enrolment


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
    transaction.on_commit(lambda: send(enrolment.user.email, "enrollment/mail/activation", context))
