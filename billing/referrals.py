"""Referrals: who brought whom, and credits for both once the newcomer's first paid month is over.

    link → cookie → sign-up (`signed_up`) → first month paid (`paid`) → its end (`rewarded`), or `refused`

Nothing of it asks anybody outside, so that each step is one transaction: a lost worker or a second one changes nothing.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.db import IntegrityError, transaction
from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy

from accounts import actor as actors
from accounts import audit
from accounts.models import Member, Organisation, User
from accounts.roles import Permission
from billing import lots
from billing.ledger import transfer_id
from billing.lifecycle import PaymentStatus, ReferralStatus, RefundStatus, switch_referral
from billing.models import Payment, Referral, ReferralCode
from billing.referral_rings import reason_against
from billing.states import DISPUTED, ChargebackStatus, ReferralReason
from lib.clock import now
from lib.ids import ALPHABET
from notifications.inbox import notify

log = logging.getLogger(__name__)
ACTOR = actors.worker("billing.referrals")
COOKIE = "referral"
SALT = "billing.referral"
COOKIE_LIFE = timedelta(days=30)
CODE_LENGTH = 10
LONGEST_CODE = 32  # of a cookie: more than any that we have made
# What is earned can be spent for so long.
REWARD_LIFE = timedelta(days=90)
# More of one organisation's referrals wait for the next month.
PER_MONTH = 10
# A month that was paid without saying how long it is.
USUAL_MONTH = timedelta(days=30)
# While a refund or a chargeback is on its way nobody knows yet whether the month stays paid.
LOOK_AGAIN = timedelta(days=1)
BATCH = 200


@dataclass(frozen=True, slots=True)
class Summary:
    """What an organisation's link has brought it."""

    code: str
    link: str
    earned: Decimal


def summary_of(organisation: Organisation) -> Summary:
    code = code_of(organisation)
    rewarded = referrals_of(organisation).filter(status=ReferralStatus.REWARDED)
    earned = rewarded.aggregate(total=Sum("reward"))["total"] or Decimal(0)
    return Summary(code, settings.PUBLIC_URL + reverse("billing:referral_link", args=[code]), earned)


def referrals_of(organisation: Organisation) -> QuerySet[Referral]:
    """Those that the organisation made."""
    return Referral.objects.filter(referrer=organisation).order_by("-pk")


def code_of(organisation: Organisation) -> str:
    """The organisation's code, made when it is asked for the first time."""
    while True:
        code = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
        try:
            with transaction.atomic():
                row, _made = ReferralCode.objects.get_or_create(organisation=organisation, defaults={"code": code})
        except IntegrityError:  # another organisation has this code
            continue
        return row.code


def remember_visit(answer: HttpResponse, code: str) -> None:
    """Leave a signed cookie, for any code: it is looked up at the sign-up. The link that was followed last counts."""
    visit = signing.dumps({"code": code.lower()[:LONGEST_CODE], "at": now().isoformat()}, salt=SALT)
    answer.set_cookie(
        COOKIE, visit, max_age=COOKIE_LIFE, httponly=True, samesite="Lax", secure=settings.SESSION_COOKIE_SECURE
    )


def keep_after_sign_up(*, request: HttpRequest, person: User, organisation: Organisation) -> None:
    """Called when somebody has signed up (settings.ON_SIGN_UP). Only an organisation that the link came before is
    brought by it, and only one that is the newcomer's own: who was invited joins others."""
    try:
        visit = signing.loads(request.COOKIES.get(COOKIE, ""), salt=SALT, max_age=COOKIE_LIFE)
    except signing.BadSignature:
        return
    codes = ReferralCode.objects.filter(organisation__archived_at=None).select_related("organisation")
    code = codes.filter(code=visit["code"]).first()
    if code is None or organisation.created_at < datetime.fromisoformat(visit["at"]):
        return
    if Member.objects.filter(organisation=organisation).exclude(user=person).exists():
        return
    record(referrer=code.organisation, referred=organisation)


@transaction.atomic
def record(*, referrer: Organisation, referred: Organisation) -> Referral | None:
    """Keep who brought the newcomer: once, whoever is named later. None: nobody brings themselves."""
    if referrer == referred:
        return None
    referral, made = Referral.objects.get_or_create(referred=referred, defaults={"referrer": referrer})
    if made:
        audit.record(referrer.pk, ACTOR, "referral.sign_up", referral)
        _refuse(referral, reason_against(referral))
    return referral


def reconcile_referrals() -> int:
    """Take note of first payments and reward what is due. Returns how many were looked at."""
    paid = {"referred__payments__purpose": Payment.Purpose.PLAN, "referred__payments__status": PaymentStatus.CAPTURED}
    waiting = Referral.objects.filter(status=ReferralStatus.SIGNED_UP, **paid).order_by("pk")
    due = Referral.objects.filter(status=ReferralStatus.PAID, due_at__lte=now()).order_by("due_at")
    ids = [*waiting.values_list("pk", flat=True).distinct()[:BATCH], *due.values_list("pk", flat=True)[:BATCH]]
    for id in ids:
        try:
            _look_at(id)
        except Exception:  # the others do not wait for it
            log.exception("referral %s", id)
    return len(ids)


@transaction.atomic
def _look_at(referral_id: UUID) -> None:
    rows = Referral.objects.select_for_update(no_key=True, skip_locked=True, of=("self",))
    referral = rows.select_related("referrer", "referred").filter(pk=referral_id).first()
    if referral is None:
        return  # another worker has it
    if referral.status == ReferralStatus.SIGNED_UP:
        _note_payment(referral)
    elif referral.status == ReferralStatus.PAID and referral.due_at is not None and referral.due_at <= now():
        _decide(referral)


def _note_payment(referral: Referral) -> None:
    months = Payment.objects.filter(organisation=referral.referred, purpose=Payment.Purpose.PLAN)
    payment = months.filter(status=PaymentStatus.CAPTURED).order_by("captured_at", "pk").first()
    if payment is None or _refuse(referral, reason_against(referral)):
        return
    end = payment.paid_until or (payment.captured_at or now()) + USUAL_MONTH
    switch_referral(referral, ReferralStatus.PAID, payment=payment, due_at=end)


def _decide(referral: Referral) -> None:
    """At the end of the first month. The code's row is locked, so that two workers do not pass the limit together, and
    the payment's, so that no refund begins meanwhile."""
    code_of(referral.referrer)
    ReferralCode.objects.select_for_update(no_key=True).get(organisation=referral.referrer)
    assert referral.payment is not None  # since it was noted
    payment = Payment.objects.select_for_update(no_key=True).get(pk=referral.payment.pk)
    if _refuse(referral, _lost(payment) or reason_against(referral)):
        return
    if _is_doubtful(payment):
        _wait(referral, now() + LOOK_AGAIN)
    elif not _has_room(referral.referrer):
        _wait(referral, _month_after(now()))
    else:
        _reward(referral)


def _lost(payment: Payment) -> str:
    """Why the month does not count as paid."""
    back = payment.refunds.filter(status=RefundStatus.COMPLETED)
    total = back.aggregate(total=Sum("amount"))["total"] or Decimal(0)
    if payment.chargebacks.filter(status=ChargebackStatus.LOST).exists():
        return ReferralReason.CHARGED_BACK
    return ReferralReason.REFUNDED if total >= payment.amount else ""


def _is_doubtful(payment: Payment) -> bool:
    """A refund or the payer's bank may yet take the month back."""
    refunds = payment.refunds.filter(status__in=[RefundStatus.NEW, RefundStatus.SENT])
    disputed = payment.chargebacks.filter(status__in=DISPUTED - {ChargebackStatus.WON})
    return refunds.exists() or disputed.exists()


def _has_room(referrer: Organisation) -> bool:
    month = now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    rewarded = Referral.objects.filter(referrer=referrer, status=ReferralStatus.REWARDED, rewarded_at__gte=month)
    return rewarded.count() < PER_MONTH


def _month_after(moment: datetime) -> datetime:
    return (moment.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _wait(referral: Referral, until: datetime) -> None:
    Referral.objects.filter(pk=referral.pk).update(due_at=until)


def _reward(referral: Referral) -> None:
    amount, moment = settings.REFERRAL_CREDITS, now()
    sides = {"referrer": referral.referrer, "referred": referral.referred}
    lots.grant_all(
        [
            lots.Grant(side, amount, _reward_id(referral, name), lots.Source.EARNED, moment + REWARD_LIFE)
            for name, side in sides.items()
        ]
    )
    switch_referral(referral, ReferralStatus.REWARDED, reward=amount, rewarded_at=moment)
    for side in sorted(sides.values(), key=lambda side: side.pk):  # each locks the audit chain of one
        audit.record(side.pk, ACTOR, "referral.reward", referral, {"amount": str(amount)})
        notify(
            side,
            kind="referral.rewarded",
            title=gettext_lazy("You have earned compute credits by a referral"),
            body=f"{amount:f}",
            url=reverse("billing:credits"),
            permission=Permission.SEE_BILLING,
        )


def _reward_id(referral: Referral, side: str) -> UUID:
    return transfer_id("referral", referral.pk, side)


def _refuse(referral: Referral, reason: str) -> bool:
    """With a reason there is no reward, for good. Staff read why."""
    if not reason:
        return False
    log.info("referral %s refused: %s", referral.public_id, reason)
    return switch_referral(referral, ReferralStatus.REFUSED, reason=reason)
