"""Who is paid: what the owner states, what a payment service or our staff confirm, and what is still missing.

No money leaves before the tax form is on file and the identity is verified.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import audit
from accounts.access import require_person
from accounts.actor import Actor
from accounts.models import Organisation, User
from billing.models import PayeeProfile
from lib.clock import now
from lib.countries import COUNTRIES
from lib.errors import Conflict, Invalid

TaxForm, Identity = PayeeProfile.TaxForm, PayeeProfile.Identity
STAFF = "staff"
LONGEST_NAME = 140  # as a payment order has room for


@dataclass(frozen=True, slots=True)
class Missing:
    """`by_us`: the owner has done their part."""

    field: str
    text: str
    by_us: bool = False


def profile_of(organisation: Organisation) -> PayeeProfile:
    """Not saved when there is none."""
    return PayeeProfile.objects.filter(organisation=organisation).first() or PayeeProfile(organisation=organisation)


def missing(profile: PayeeProfile) -> list[Missing]:
    """What stands between this payee and their money, field by field."""
    found = []
    if not profile.legal_name:
        found.append(Missing("legal_name", _("Your legal name, as in your tax form.")))
    if not profile.country:
        found.append(Missing("country", _("The country in which you are taxed.")))
    if profile.tax_form == TaxForm.NONE:
        found.append(Missing("tax_form", _("The tax form that you have sent us.")))
    elif profile.tax_received_at is None:
        found.append(Missing("tax_form", _("Our staff have yet to confirm that your tax form is on file."), by_us=True))
    if profile.identity == Identity.UNVERIFIED:
        found.append(Missing("identity", _("Your identity: by Stripe's onboarding, or by our staff.")))
    elif profile.identity == Identity.PENDING:
        found.append(Missing("identity", _("Your identity is being verified."), by_us=True))
    if profile.hold_reason:
        text = _("Our staff hold your payouts: %(reason)s") % {"reason": profile.hold_reason}
        found.append(Missing("hold", text, by_us=True))
    return found


def require_complete(organisation: Organisation) -> None:
    """Raises Conflict with what is missing beside each field."""
    gaps = missing(profile_of(organisation))
    if gaps:
        message = _("Before we can pay you, this is missing: %(what)s") % {"what": " ".join(gap.text for gap in gaps)}
        raise Conflict(message, code="payee_incomplete", fields={gap.field: [gap.text] for gap in gaps})


@transaction.atomic
def change(
    organisation: Organisation, *, legal_name: str, country: str, tax_form: str, pays_weekly: bool, actor: Actor
) -> PayeeProfile:
    """What the owner states. Other than before, it has to be confirmed again. Raises Invalid beside the field."""
    require_person(actor)
    legal_name = " ".join(legal_name.split())
    _check(legal_name, country, tax_form)
    profile = _lock(organisation)
    stated = (legal_name, country, tax_form)
    if stated != (profile.legal_name, profile.country, profile.tax_form):
        profile.legal_name, profile.country, profile.tax_form = stated
        profile.tax_stated_at, profile.tax_received_at, profile.tax_confirmed_by = now(), None, None
        if profile.identity_by in {"", STAFF}:  # what a payment service has verified is its own account of them
            profile.identity, profile.identity_by = Identity.PENDING, ""
        data = {"country": country, "tax_form": tax_form}
        audit.record(organisation.pk, actor, "payee.change", organisation, data)
    profile.pays_weekly = pays_weekly
    profile.save()
    return profile


@transaction.atomic
def confirm_tax_form(profile: PayeeProfile, *, person: User, actor: Actor) -> None:
    """Staff have the form in their hands. Raises Conflict when none was stated, or it was confirmed before."""
    profile = _lock(profile.organisation)
    if profile.tax_form == TaxForm.NONE or profile.tax_received_at is not None:
        raise Conflict(_("There is no tax form to confirm."), code="nothing_to_confirm")
    profile.tax_received_at, profile.tax_confirmed_by = now(), person
    profile.save()
    audit.record(profile.organisation_id, actor, "payee.confirm_tax_form", profile.organisation)


@transaction.atomic
def verify_identity(organisation: Organisation, *, by: str, actor: Actor) -> None:
    """A payment service, or our staff, know who this is."""
    profile = _lock(organisation)
    if profile.identity == Identity.VERIFIED:
        return
    profile.identity, profile.identity_by = Identity.VERIFIED, by
    profile.save()
    audit.record(organisation.pk, actor, "payee.verify_identity", organisation, {"by": by})


@transaction.atomic
def hold(profile: PayeeProfile, *, reason: str, actor: Actor) -> None:
    """Stop what has not left yet, with a reason that the owner reads; without one, let it go on."""
    reason = reason.strip()
    if len(reason) > 200 or not reason.isprintable():
        message = _("At most 200 characters.")
        raise Invalid(message, fields={"reason": [message]})
    profile = _lock(profile.organisation)
    profile.hold_reason = reason
    profile.save()
    audit.record(profile.organisation_id, actor, "payee.hold", profile.organisation, {"reason": reason})


def _lock(organisation: Organisation) -> PayeeProfile:
    profile, _made = PayeeProfile.objects.get_or_create(organisation=organisation)
    return PayeeProfile.objects.select_for_update(no_key=True).select_related("organisation").get(pk=profile.pk)


def _check(legal_name: str, country: str, tax_form: str) -> None:
    wrong = {}
    if not 2 <= len(legal_name) <= LONGEST_NAME or not legal_name.isprintable():
        wrong["legal_name"] = [_("Write your legal name, in up to 140 characters.")]
    if country not in COUNTRIES:
        wrong["country"] = [_("Choose a country from the list.")]
    if tax_form not in TaxForm.values or tax_form == TaxForm.NONE:
        wrong["tax_form"] = [_("Choose the form that you have sent us.")]
    if wrong:
        raise Invalid(_("Please look at the marked fields."), fields=wrong)
