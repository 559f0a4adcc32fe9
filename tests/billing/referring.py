"""Small acts that tests of referrals begin with."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import uuid4

from accounts.models import Organisation
from billing import referrals
from billing.models import Payment, PaymentMethod, Referral
from lib.clock import now

MONTH = timedelta(days=30)


def refer(referrer: Organisation, referred: Organisation) -> Referral:
    referral = referrals.record(referrer=referrer, referred=referred)
    assert referral is not None
    return referral


def paid_month(organisation: Organisation, *, begun: datetime | None = None, payer: str = "") -> Payment:
    """A captured month of Pro, over by now unless it begins later."""
    start = begun or now() - MONTH - timedelta(minutes=1)
    return Payment.objects.create(
        organisation=organisation,
        purpose=Payment.Purpose.PLAN,
        plan_id="pro",
        amount=Decimal(49),
        status="captured",
        payer_email=payer,
        capture_ref=uuid4().hex,
        captured_at=start,
        paid_from=start,
        paid_until=start + MONTH,
    )


def save_card(organisation: Organisation, fingerprint: str) -> PaymentMethod:
    return PaymentMethod.objects.create(
        organisation=organisation,
        service="stripe",
        ref=f"pm_{uuid4().hex}",
        brand="visa",
        last4="4242",
        exp_month=1,
        exp_year=2040,
        fingerprint=fingerprint,
    )


def look(times: int = 2) -> None:
    """What the worker does: first it takes note of the payment, then of the end of its month."""
    for _ in range(times):
        referrals.reconcile_referrals()
