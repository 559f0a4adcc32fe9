"""What people decide about a payout before it leaves: called off, or approved when it is large.

Staff decide nothing by which an organisation of their own gets money.
"""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import audit
from accounts.actor import Actor
from accounts.models import Member, Organisation, User
from billing.lifecycle import PayoutStatus, switch_payout
from billing.models import Payout
from billing.payouts import books
from lib.clock import now
from lib.errors import Conflict, Forbidden


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
    """Staff have looked at a large sum. Raises Conflict; Forbidden for who belongs to the payee, or asked for it."""
    payout = lock(payout)
    refuse_member(person, payout.organisation)
    if payout.requested_by_id == person.pk:
        raise Forbidden(_("You have asked for it yourself: somebody else has to approve it."))
    if payout.status != PayoutStatus.NEW or not payout.needs_approval or payout.approved_at:
        raise Conflict(_("It does not wait for approval."), code="not_waiting")
    Payout.objects.filter(pk=payout.pk).update(approved_by=person, approved_at=now())
    audit.record(payout.organisation_id, actor, "payout.approve", payout)
    payout.refresh_from_db()
    return payout


def refuse_member(person: User, organisation: Organisation) -> None:
    """Of our staff: nobody decides about their own money. Raises Forbidden."""
    if Member.objects.filter(user=person, organisation=organisation).exists():
        raise Forbidden(_("You belong to this organisation: somebody else has to do this."))


def lock(payout: Payout) -> Payout:
    rows = Payout.objects.select_for_update(no_key=True, of=("self",)).select_related("organisation", "method")
    return rows.get(pk=payout.pk)
