"""Withdrawals as people ask for them: limits, the hold, the wait of a new address, approval by staff.

`billing.chain.sending` takes over what is queued.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Min, Q, QuerySet, Sum
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import audit
from accounts.actor import Actor
from accounts.models import Organisation, User
from accounts.roles import Permission
from billing.chain import books, nodes
from billing.chain.links import parse_address
from billing.chain.networks import Network
from billing.lifecycle import WithdrawalStatus, switch_withdrawal
from billing.models import LinkedWallet, Withdrawal
from lib.clock import now
from lib.errors import Conflict, Invalid
from lib.ids import new_id
from lib.money import parse_amount
from notifications.news import tell

SMALLEST, LARGEST = Decimal(1), Decimal(10_000)  # of one withdrawal
LARGEST_PER_DAY = Decimal(25_000)  # of an organisation, in any 24 hours
DAY = timedelta(hours=24)
APPROVAL_ABOVE = Decimal(2_500)  # in a day without staff; they look at what goes beyond
NOT_PAID = (WithdrawalStatus.CANCELLED, WithdrawalStatus.FAILED)


def withdrawals_of(organisation: Organisation) -> QuerySet[Withdrawal]:
    """The newest first."""
    return Withdrawal.objects.filter(organisation=organisation).order_by("-pk")


def request_withdrawal(
    *, organisation: Organisation, network: Network, address: str, amount: Decimal | str, actor: Actor, key: str
) -> Withdrawal:
    """Hold the sum and queue it. The same key gives the same withdrawal.

    Raises Invalid beside the field, Overdraft, Conflict for a key that was used for something else.
    """
    to = _check_address(address, network)
    sum_ = _check_amount(amount)
    with transaction.atomic():
        # One at a time for each organisation: the day's limit and the key are looked at and used up together.
        organisation = Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
        same = Withdrawal.objects.filter(organisation=organisation, idempotency_key=key).first()
        if same is not None:
            if (same.chain, same.address, same.amount) != (network.slug, to, sum_):
                raise Conflict(_("This key was used for another request."), code="idempotency_conflict")
            return same
        _check_day(organisation, sum_)
        return _make(organisation, network, to, sum_, actor, key)


@transaction.atomic
def cancel(withdrawal: Withdrawal, *, actor: Actor, reason: str = "by_customer") -> Withdrawal:
    """Give the sum back. Raises Conflict once a transaction is signed: then only the chain decides."""
    withdrawal = Withdrawal.objects.select_for_update(no_key=True, of=("self",)).get(pk=withdrawal.pk)
    if withdrawal.status not in {WithdrawalStatus.WAITING, WithdrawalStatus.QUEUED}:
        raise Conflict(_("It is on its way already, or finished."), code="not_cancellable")
    books.settle_hold(withdrawal, paid=False)
    switch_withdrawal(withdrawal, WithdrawalStatus.CANCELLED, reason=reason, finished_at=now())
    audit.record(withdrawal.organisation_id, actor, "withdrawal.cancel", withdrawal, {"reason": reason})
    return withdrawal


@transaction.atomic
def approve(withdrawal: Withdrawal, *, person: User, actor: Actor) -> Withdrawal:
    """Staff have looked at a large sum. It is sent when its time has come as well."""
    withdrawal = Withdrawal.objects.select_for_update(no_key=True, of=("self",)).get(pk=withdrawal.pk)
    if withdrawal.status != WithdrawalStatus.WAITING or not withdrawal.needs_approval or withdrawal.approved_at:
        raise Conflict(_("It does not wait for approval."), code="not_waiting")
    Withdrawal.objects.filter(pk=withdrawal.pk).update(approved_by=person, approved_at=now())
    audit.record(withdrawal.organisation_id, actor, "withdrawal.approve", withdrawal)
    withdrawal.refresh_from_db()
    return withdrawal


def queue_due(chain: str) -> None:
    """Those that have waited long enough, and were approved where that is needed."""
    approved = Q(needs_approval=False) | Q(approved_at__isnull=False)
    waiting = Withdrawal.objects.filter(approved, chain=chain, status=WithdrawalStatus.WAITING, not_before__lte=now())
    for withdrawal in waiting.order_by("pk"):
        switch_withdrawal(withdrawal, WithdrawalStatus.QUEUED)


def left_today(organisation: Organisation) -> Decimal:
    """What the day's limit still allows."""
    return max(Decimal(0), LARGEST_PER_DAY - _sum_of_day(organisation))


def _check_address(text: str, network: Network) -> str:
    to = parse_address(text)
    if to in {network.token, nodes.treasury(), nodes.signer().address}:
        words = _("This address is ours or the token's: what is sent there does not reach you.")
        raise Invalid(words, code="bad_address", fields={"address": [words]})
    return to


def _check_amount(amount: Decimal | str) -> Decimal:
    sum_ = parse_amount(amount, currency=books.CURRENCY)
    if not SMALLEST <= sum_ <= LARGEST:
        words = _("Withdraw between %(smallest)s and %(largest)s USDC at a time.") % {
            "smallest": SMALLEST,
            "largest": f"{LARGEST:,}",
        }
        raise Invalid(words, code="amount_out_of_range", fields={"amount": [words]})
    return sum_


def _check_day(organisation: Organisation, amount: Decimal) -> None:
    if _sum_of_day(organisation) + amount > LARGEST_PER_DAY:
        words = _("At most %(largest)s USDC can be withdrawn in 24 hours.") % {"largest": f"{LARGEST_PER_DAY:,}"}
        raise Invalid(words, code="daily_limit", fields={"amount": [words]})


def _sum_of_day(organisation: Organisation, **which: Any) -> Decimal:
    recent = _paid_or_open(organisation).filter(created_at__gt=now() - DAY, **which)
    return recent.aggregate(total=Sum("amount"))["total"] or Decimal(0)


def _unapproved_of_day(organisation: Organisation) -> Decimal:
    """What staff have not looked at: a large sum in small pieces is a large sum."""
    return _sum_of_day(organisation, approved_at=None)


def _paid_or_open(organisation: Organisation) -> QuerySet[Withdrawal]:
    return Withdrawal.objects.filter(organisation=organisation).exclude(status__in=NOT_PAID)


def _known_since(organisation: Organisation, address: str) -> datetime | None:
    """When the address was linked, or first used for a withdrawal that was not called off."""
    link = LinkedWallet.objects.filter(organisation=organisation, address=address, unlinked_at=None).first()
    used = _paid_or_open(organisation).filter(address=address).aggregate(first=Min("created_at"))["first"]
    moments = [moment for moment in (link.linked_at if link else None, used) if moment is not None]
    return min(moments, default=None)


def _make(organisation: Organisation, network: Network, to: str, amount: Decimal, actor: Actor, key: str) -> Withdrawal:
    known = _known_since(organisation, to) or now()
    withdrawal = Withdrawal.objects.create(
        id=new_id(),
        organisation=organisation,
        chain=network.slug,
        address=to,
        amount=amount,
        status=WithdrawalStatus.WAITING,
        not_before=known + settings.WITHDRAWAL_DELAY,
        needs_approval=_unapproved_of_day(organisation) + amount > APPROVAL_ABOVE,
        idempotency_key=key,
    )
    books.hold(withdrawal)
    data = {"amount": str(amount), "chain": network.slug, "address": to}
    audit.record(organisation.pk, actor, "withdrawal.request", withdrawal, data)
    _tell(withdrawal, network)
    withdrawal.refresh_from_db()
    return withdrawal


def _tell(withdrawal: Withdrawal, network: Network) -> None:
    tell(
        withdrawal.organisation,
        permission=Permission.SEE_BILLING,
        kind="withdrawal.requested",
        title=gettext_lazy("A withdrawal of USDC was requested"),
        body=f"{withdrawal.amount:f} USDC → {withdrawal.address}",
        page=reverse("billing:usdc"),
        mail="billing/mail/withdrawal",
        context={"withdrawal": withdrawal, "network": network},
    )
