"""Whether the two sides of a referral are one: what people share who refer themselves."""

from __future__ import annotations

from uuid import UUID

from django.db.models.functions import Lower

from accounts.models import Member
from billing.models import LinkedWallet, Payment, PaymentMethod, Referral
from billing.states import PaymentStatus, ReferralReason

# How far up we walk from who referred whom; nobody goes to such lengths for a few credits.
LONGEST_LINE = 50


def reason_against(referral: Referral) -> str:
    """Why this referral earns nothing; empty when nothing speaks against it.

    People are compared with the referrer and with whoever brought that one, and so on; means of payment also with
    others whom the referrer brought, since one card behind many newcomers is a ring, too.
    """
    newcomer, line = referral.referred_id, line_of(referral.referrer_id)
    if newcomer in line:
        return ReferralReason.CYCLE
    siblings = Referral.objects.filter(referrer=referral.referrer_id).exclude(pk=referral.pk)
    family = [*line, *siblings.values_list("referred_id", flat=True)]
    if _share_a_person(newcomer, line):
        return ReferralReason.PERSON
    if _share_a_card(newcomer, family):
        return ReferralReason.CARD
    if _share_a_payer(newcomer, family):
        return ReferralReason.PAYER
    return ReferralReason.WALLET if _share_a_wallet(newcomer, family) else ""


def line_of(organisation_id: UUID) -> list[UUID]:
    """The organisation, who referred it, who referred that one, and so on. Ends where it would come round again."""
    line: list[UUID] = []
    current: UUID | None = organisation_id
    while current is not None and current not in line and len(line) < LONGEST_LINE:
        line.append(current)
        current = Referral.objects.filter(referred=current).values_list("referrer_id", flat=True).first()
    return line


def _share_a_person(newcomer: UUID, others: list[UUID]) -> bool:
    people = Member.objects.filter(organisation=newcomer).values("user")
    return Member.objects.filter(organisation__in=others, user__in=people).exists()


def _share_a_card(newcomer: UUID, others: list[UUID]) -> bool:
    """Removed cards count: they were charged once."""
    known = PaymentMethod.objects.exclude(fingerprint="")
    cards = known.filter(organisation=newcomer).values("fingerprint")
    return known.filter(organisation__in=others, fingerprint__in=cards).exists()


def _share_a_payer(newcomer: UUID, others: list[UUID]) -> bool:
    paid = Payment.objects.filter(status=PaymentStatus.CAPTURED).exclude(payer_email="")
    payers = paid.annotate(payer=Lower("payer_email"))
    return payers.filter(
        organisation__in=others, payer__in=payers.filter(organisation=newcomer).values("payer")
    ).exists()


def _share_a_wallet(newcomer: UUID, others: list[UUID]) -> bool:
    """An address can be linked by one organisation at a time, and by another one after it."""
    addresses = LinkedWallet.objects.filter(organisation=newcomer).values("address")
    return LinkedWallet.objects.filter(organisation__in=others, address__in=addresses).exists()
