"""A wallet that fills itself from the default card.

Once an hour at most; after three refusals in a row it is switched off, and people are told; so it is while they owe us,
as what came in would not stay. The number of the try is the key of its payment, so that a crash at any point charges once.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_stubs_ext import StrOrPromise

from accounts import actor as actors
from accounts import audit
from accounts.actor import Actor
from accounts.models import Organisation
from accounts.roles import Permission
from billing import owed, payment_methods, wallet
from billing.lifecycle import PaymentStatus
from billing.models import AutoTopUp, Payment, PaymentMethod
from billing.payments import checkout
from lib.clock import now
from lib.errors import AppError, Conflict, Invalid
from lib.money import parse_amount
from notifications.inbox import notify

log = logging.getLogger(__name__)
EVERY = timedelta(hours=1)
MOST_DECLINES = 3
AT_ONCE = 500  # balances that are read by one query
NOT_PAID = gettext_lazy("The automatic top-up is off: the card did not pay")
OWES = gettext_lazy("The automatic top-up is off: you owe us money, and each top-up would pay that first")
WAITING = (PaymentStatus.NEW, PaymentStatus.CREATED, PaymentStatus.APPROVED)


def settings_of(organisation: Organisation) -> AutoTopUp:
    """Not saved when there are none."""
    return AutoTopUp.objects.filter(organisation=organisation).first() or AutoTopUp(organisation=organisation)


def change(
    organisation: Organisation,
    *,
    is_on: bool,
    threshold: Decimal | str | None,
    amount: Decimal | str | None,
    actor: Actor,
) -> AutoTopUp:
    """Raises Invalid beside the field; a saved card is needed to switch it on."""
    columns: dict[str, Any] = {
        "is_on": is_on,
        "threshold": _optional(threshold, "threshold"),
        "amount": None if amount in (None, "") else checkout.check_top_up(amount),
    }
    if is_on:
        _check_complete(organisation, columns)
    with transaction.atomic():
        row, _made = AutoTopUp.objects.update_or_create(organisation=organisation, defaults={**columns, "declines": 0})
        about = {name: None if value is None else str(value) for name, value in columns.items()}
        audit.record(organisation.pk, actor, "auto_top_up.change", organisation, about)
    return row


def keep_wallets_filled() -> int:
    """Look at the wallets of all who have asked for it. Returns how many were charged for."""
    asked, charged = AutoTopUp.objects.filter(is_on=True).select_related("organisation").iterator(), 0
    while some := list(islice(asked, AT_ONCE)):
        balances = wallet.balances_of({row.organisation_id for row in some})
        low = [row for row in some if _is_low(row, balances.get((row.organisation_id, checkout.CURRENCY)))]
        charged += sum(_look(row) for row in low)
    return charged


def _is_low(row: AutoTopUp, balance: wallet.Balance | None) -> bool:
    available = balance.available if balance else wallet.ZERO
    return row.threshold is not None and available < row.threshold


def _look(row: AutoTopUp) -> bool:
    """Once more, as the charges before it take their time."""
    if not _is_low(row, wallet.balance(row.organisation, checkout.CURRENCY)):
        return False
    if owed.owes(row.organisation, checkout.CURRENCY):
        switch_off(row.organisation, OWES)
        return False
    try:
        return _charge(row)
    except AppError as away:
        log.warning("automatic top-up of %s: %s", row.organisation.public_id, getattr(away, "detail", away.message))
        return False


def _charge(row: AutoTopUp) -> bool:
    """One try. Raises AppError when the service is away: what has begun there, the reconciler of payments ends."""
    begun = Payment.objects.filter(organisation=row.organisation, idempotency_key__startswith="auto-")
    if begun.filter(status__in=WAITING, created_at__gt=now() - timedelta(days=1)).exclude(order_ref="").exists():
        return False
    card = payment_methods.default_of(row.organisation)
    if card is None:
        switch_off(row.organisation, NOT_PAID)
        return False
    due = Q(tried_at=None) | Q(tried_at__lte=now() - EVERY)
    # As it was read: who has changed it meanwhile is charged what they want now, at the next look.
    same = AutoTopUp.objects.filter(due, pk=row.pk, tries=row.tries, is_on=True)
    if not same.filter(amount=row.amount, threshold=row.threshold).update(tries=F("tries") + 1, tried_at=now()):
        return False
    outcome = _pay(row, card)
    if outcome == PaymentStatus.FAILED:
        _declined(row)
    if outcome == PaymentStatus.CAPTURED:
        AutoTopUp.objects.filter(pk=row.pk).update(declines=0)
    return outcome == PaymentStatus.CAPTURED


def _pay(row: AutoTopUp, card: PaymentMethod) -> str:
    """How it stands: failed when the bank has declined the card, or Stripe the payment itself."""
    try:
        payment = checkout.start(
            organisation=row.organisation,
            purpose=Payment.Purpose.TOP_UP,
            amount=row.amount,
            card=card,
            off_session=True,
            actor=actors.worker("auto-top-up"),
            idempotency_key=f"auto-{row.tries + 1}",
            **checkout.own_pages(),
        )
    except Conflict as refusal:
        if refusal.code != "payment_refused":
            raise
        return PaymentStatus.FAILED
    return payment.status


def _declined(row: AutoTopUp) -> None:
    AutoTopUp.objects.filter(pk=row.pk).update(declines=F("declines") + 1)
    row.refresh_from_db()
    if row.declines >= MOST_DECLINES:
        switch_off(row.organisation, NOT_PAID)


@transaction.atomic
def switch_off(organisation: Organisation, why: StrOrPromise) -> None:
    """Until somebody switches it on again; `why` is what they are told."""
    if AutoTopUp.objects.filter(organisation=organisation, is_on=True).update(is_on=False):
        notify(
            organisation,
            kind="wallet.auto_top_up_off",
            title=why,
            url=reverse("billing:auto_top_up"),
            permission=Permission.SEE_BILLING,
        )


def _optional(amount: Decimal | str | None, field: str) -> Decimal | None:
    return None if amount is None or amount == "" else parse_amount(amount, currency=checkout.CURRENCY, field=field)


def _check_complete(organisation: Organisation, columns: dict[str, Any]) -> None:
    message = _("This is needed to switch it on.")
    missing = {name: [message] for name in ("threshold", "amount") if columns[name] is None}
    if payment_methods.default_of(organisation) is None:
        missing["is_on"] = [_("Save a card first.")]
    if owed.owes(organisation, checkout.CURRENCY):
        missing["is_on"] = [_("Pay what you owe first: a top-up of the wallet does so.")]
    if missing:
        raise Invalid(message, fields=missing)
