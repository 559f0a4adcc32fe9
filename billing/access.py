"""The only way from a request to money: 404 for what is not yours, 403 for what your role may not do."""

from __future__ import annotations

from django.utils.translation import gettext as _

from accounts.access import current_organisation, permissions_of, require, require_signed_in
from accounts.actor import Actor
from accounts.models import Organisation
from accounts.roles import Permission
from billing.models import (
    Dispute,
    DisputeEvidence,
    Invoice,
    LinkedWallet,
    Payment,
    PaymentMethod,
    Payout,
    PayoutMethod,
    Withdrawal,
)
from lib.errors import NotFound
from lib.ids import decode_id


def organisation_to_see(actor: Actor) -> Organisation:
    return current_organisation(actor, Permission.SEE_BILLING)


def organisation_to_pay_for(actor: Actor) -> Organisation:
    return current_organisation(actor, Permission.MANAGE_BILLING)


def get_payment(actor: Actor, public_id: str, permission: Permission = Permission.SEE_BILLING) -> Payment:
    require_signed_in(actor)
    found = Payment.objects.select_related("organisation", "plan").filter(pk=decode_id("pay", public_id)).first()
    if found is None:
        raise NotFound(_("This does not exist, or it is not yours."))
    require(actor, permission, found.organisation_id)
    return found


def get_invoice(actor: Actor, public_id: str) -> Invoice:
    """An invoice or a credit note."""
    require_signed_in(actor)
    rows = Invoice.objects.select_related("organisation", "payment", "refund", "corrects")
    found = rows.filter(pk=decode_id("doc", public_id)).first()
    if found is None:
        raise NotFound(_("This does not exist, or it is not yours."))
    require(actor, Permission.SEE_BILLING, found.organisation_id)
    return found


def get_linked_wallet(actor: Actor, public_id: str) -> LinkedWallet:
    require_signed_in(actor)
    found = LinkedWallet.objects.filter(pk=decode_id("wlt", public_id), unlinked_at=None).first()
    if found is None:
        raise NotFound(_("This does not exist, or it is not yours."))
    require(actor, Permission.MANAGE_BILLING, found.organisation_id)
    return found


def get_withdrawal(actor: Actor, public_id: str, permission: Permission = Permission.SEE_BILLING) -> Withdrawal:
    require_signed_in(actor)
    found = Withdrawal.objects.select_related("organisation").filter(pk=decode_id("wdr", public_id)).first()
    if found is None:
        raise NotFound(_("This does not exist, or it is not yours."))
    require(actor, permission, found.organisation_id)
    return found


def get_payout(actor: Actor, public_id: str, permission: Permission = Permission.SEE_BILLING) -> Payout:
    require_signed_in(actor)
    rows = Payout.objects.select_related("organisation", "method")
    found = rows.filter(pk=decode_id("pyo", public_id)).first()
    if found is None:
        raise NotFound(_("This does not exist, or it is not yours."))
    require(actor, permission, found.organisation_id)
    return found


def get_payout_method(actor: Actor, public_id: str, organisation: Organisation | None = None) -> PayoutMethod:
    """One that is not removed: of this organisation, where one is given."""
    require_signed_in(actor)
    rows = PayoutMethod.objects.select_related("organisation").filter(removed_at=None)
    found = rows.filter(pk=decode_id("pym", public_id)).first()
    if found is None or (organisation is not None and found.organisation_id != organisation.pk):
        raise NotFound(_("This does not exist, or it is not yours."))
    require(actor, Permission.MANAGE_BILLING, found.organisation_id)
    return found


def get_card(actor: Actor, public_id: str, organisation: Organisation | None = None) -> PaymentMethod:
    """A saved card that may be charged: of this organisation, where one is given."""
    require_signed_in(actor)
    rows = PaymentMethod.objects.select_related("organisation").filter(removed_at=None)
    found = rows.filter(pk=decode_id("crd", public_id)).first()
    if found is None or (organisation is not None and found.organisation_id != organisation.pk):
        raise NotFound(_("This does not exist, or it is not yours."))
    require(actor, Permission.MANAGE_BILLING, found.organisation_id)
    return found


def get_dispute(
    actor: Actor, public_id: str, permission: Permission = Permission.SEE_BILLING
) -> tuple[Dispute, Organisation]:
    """A dispute, and the side of it on which the actor is: where they work now, if that is one."""
    require_signed_in(actor)
    rows = Dispute.objects.select_related("renter", "owner")
    found = rows.filter(pk=decode_id("dsp", public_id)).first()
    if found is None:
        raise NotFound(_("This does not exist, or it is not yours."))
    sides = sorted([found.renter, found.owner], key=lambda side: side.pk != actor.organisation_id)
    side = next((side for side in sides if permissions_of(actor, side.pk)), sides[0])
    require(actor, permission, side.pk)
    return found, side


def get_evidence(actor: Actor, dispute_id: str, evidence_id: str) -> DisputeEvidence:
    """A file of either side, for both."""
    dispute, _side = get_dispute(actor, dispute_id)
    return evidence_of(dispute, evidence_id)


def evidence_of(dispute: Dispute, evidence_id: str) -> DisputeEvidence:
    found = dispute.evidence.filter(pk=decode_id("evd", evidence_id)).first()
    if found is None:
        raise NotFound(_("This does not exist, or it is not yours."))
    return found
