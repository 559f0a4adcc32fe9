"""What people decide about a payout before it leaves: called off, or approved when it is large."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import audit
from accounts.actor import Actor
from accounts.models import User
from billing.lifecycle import PayoutStatus, switch_payout
from billing.models import Payout
from billing.payouts import books
from lib.clock import now
from lib.errors import Conflict


@transaction.atomic
def cancel(payout: Payout, *, actor: Actor, reason: str = "by_customer") -> Payout:
    """Give the sum back to the earnings. Raises Conflict once somebody was asked to pay it."""
    payout = lock(payout)
    if payout.status != PayoutStatus.NEW:
        raise Conflict(_("It is on its way already, or finished."), code="not_cancellable")
    books.settle(payout, paid=False)
    switch_payout(payout, PayoutStatus.CANCELLED, reason=reason, finished_at=now())
    audit.record(payout.organisation_id, actor, "payout.cancel", payout, {"reason": reason})
    return payout


@transaction.atomic
def approve(payout: Payout, *, person: User, actor: Actor) -> Payout:
    """Staff have looked at a large sum."""
    payout = lock(payout)
    if payout.status != PayoutStatus.NEW or not payout.needs_approval or payout.approved_at:
        raise Conflict(_("It does not wait for approval."), code="not_waiting")
    Payout.objects.filter(pk=payout.pk).update(approved_by=person, approved_at=now())
    audit.record(payout.organisation_id, actor, "payout.approve", payout)
    payout.refresh_from_db()
    return payout


def lock(payout: Payout) -> Payout:
    rows = Payout.objects.select_for_update(no_key=True, of=("self",)).select_related("organisation", "method")
    return rows.get(pk=payout.pk)
