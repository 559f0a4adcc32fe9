"""Payouts of which PayPal does not say whether they have left: staff look for them there, and say what became of them.

`sending` marks them. The mark is away while PayPal is being asked once more: nobody decides at that moment.
"""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import audit
from accounts.actor import Actor
from accounts.models import User
from billing.lifecycle import PayoutStatus
from billing.models import Payout
from billing.payments.base import Gone, Refused, RemotePayout
from billing.payments.services import payouts
from billing.payouts.deciding import lock, refuse_member
from billing.payouts.sending import UNCLEAR, book
from lib.errors import Conflict, Invalid

LONGEST_REASON = 200
LONGEST_REF = 64
NEVER_LEFT = "never_left"


def was_paid(payout: Payout, *, ref: str, reason: str, person: User, actor: Actor) -> Payout:
    """PayPal has it, as the batch or the item `ref`: we ask PayPal for that, and book what it says.

    Raises Conflict when the payout is not unclear, Invalid for what PayPal does not know or is another payout, Forbidden
    for a member of the payee, ServiceDown.
    """
    refuse_member(person, payout.organisation)
    ref, reason = ref.strip(), _check_reason(reason)
    _require_unclear(payout)
    try:
        if not 1 <= len(ref) <= LONGEST_REF or not ref.isalnum():
            raise Gone(ref)
        remote = payouts(payout.kind).fetch_payout(ref)
    except (Gone, Refused):
        raise _bad_ref(_("PayPal knows no payout by this id.")) from None
    if (remote.reference, remote.amount, remote.currency) != (payout.public_id, payout.amount, payout.currency):
        raise _bad_ref(_("This id is of another payout."))
    return _end(payout, remote, "payout.was_paid", {"ref": remote.ref, "reason": reason}, actor)


def never_left(payout: Payout, *, reason: str, person: User, actor: Actor) -> Payout:
    """PayPal does not have it, as staff have seen there: the earnings have the sum again.

    Raises Conflict when the payout is not unclear, Invalid, Forbidden for a member of the payee.
    """
    refuse_member(person, payout.organisation)
    remote = RemotePayout("", payout.public_id, "failed", payout.amount, payout.currency, NEVER_LEFT)
    return _end(payout, remote, "payout.never_left", {"reason": _check_reason(reason)}, actor)


@transaction.atomic
def _end(payout: Payout, remote: RemotePayout, action: str, data: dict[str, str], actor: Actor) -> Payout:
    payout = lock(payout)
    _require_unclear(payout)
    Payout.objects.filter(pk=payout.pk).update(reason="")
    payout = book(payout, remote)
    audit.record(payout.organisation_id, actor, action, payout, data)
    return payout


def _require_unclear(payout: Payout) -> None:
    if payout.status != PayoutStatus.SENT or payout.reason != UNCLEAR:
        raise Conflict(
            _("Whether this payout has left is no question, or is being asked just now."), code="not_unclear"
        )


def _check_reason(reason: str) -> str:
    reason = reason.strip()
    if not 1 <= len(reason) <= LONGEST_REASON or not reason.isprintable():
        message = _("Write how you know it, in up to 200 characters.")
        raise Invalid(message, fields={"reason": [message]})
    return reason


def _bad_ref(message: str) -> Invalid:
    return Invalid(message, code="bad_ref", fields={"ref": [message]})
