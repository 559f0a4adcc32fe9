"""Who is paid: what the owner states, what a payment service or our staff confirm, and what is still missing.

No money leaves before the tax form is on file and the identity is verified.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from accounts import audit
from accounts.access import require_person
from accounts.actor import Actor
from accounts.models import Organisation, User
from billing.models import PayeeProfile, PayoutMethod
from billing.payouts.deciding import refuse_member
from lib.clock import now
from lib.countries import COUNTRIES
from lib.errors import Conflict, Invalid

TaxForm, Identity = PayeeProfile.TaxForm, PayeeProfile.Identity
STAFF, STRIPE = "staff", str(PayoutMethod.Kind.STRIPE)
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


def incomplete() -> QuerySet[PayeeProfile]:
    """Those of whom `missing` finds something."""
    is_stated = ~Q(legal_name="") & ~Q(country="") & ~Q(tax_form=TaxForm.NONE)
    is_confirmed = Q(tax_received_at__isnull=False, identity=Identity.VERIFIED)
    return PayeeProfile.objects.exclude(is_stated & is_confirmed, hold_reason="")


def missing(profile: PayeeProfile, kind: str = "") -> list[Missing]:
    """What stands between this payee and their money, field by field: by this kind of method, or by any."""
    # Stripe pays whom it has verified itself, whatever is stated to us.
    is_known = profile.identity == Identity.VERIFIED or kind == STRIPE
    found = []
    if not profile.legal_name:
        found.append(Missing("legal_name", _("Your legal name, as in your tax form.")))
    if not profile.country:
        found.append(Missing("country", _("The country in which you are taxed.")))
    if profile.tax_form == TaxForm.NONE:
        found.append(Missing("tax_form", _("The tax form that you have sent us.")))
    elif profile.tax_received_at is None:
        found.append(Missing("tax_form", _("Our staff have yet to confirm that your tax form is on file."), by_us=True))
    if not is_known and profile.identity == Identity.UNVERIFIED:
        found.append(Missing("identity", _("Your identity: by Stripe's onboarding, or by our staff.")))
    elif not is_known:
        found.append(Missing("identity", _("Your identity is being verified."), by_us=True))
    if profile.hold_reason:
        text = _("Our staff hold your payouts: %(reason)s") % {"reason": profile.hold_reason}
        found.append(Missing("hold", text, by_us=True))
    return found


def require_complete(organisation: Organisation, kind: str = "") -> None:
    """Raises Conflict with what is missing beside each field."""
    gaps = missing(profile_of(organisation), kind)
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
    if (legal_name, country) != (profile.legal_name, profile.country):
        profile.identity, profile.identity_by = Identity.PENDING, ""
    stated = (legal_name, country, tax_form)
    if stated != (profile.legal_name, profile.country, profile.tax_form):
        profile.legal_name, profile.country, profile.tax_form = stated
        profile.tax_stated_at, profile.tax_received_at, profile.tax_confirmed_by = now(), None, None
        data = {"country": country, "tax_form": tax_form}
        audit.record(organisation.pk, actor, "payee.change", organisation, data)
    if pays_weekly != profile.pays_weekly:
        profile.pays_weekly = pays_weekly
        audit.record(organisation.pk, actor, "payee.pays_weekly", organisation, {"pays_weekly": pays_weekly})
    profile.save()
    return profile


@transaction.atomic
def confirm_tax_form(profile: PayeeProfile, *, shown: str, person: User, actor: Actor) -> None:
    """Staff have the form in their hands. Raises Conflict when none was stated, or it was confirmed before."""
    profile = _lock_shown(profile, shown, person)
    if profile.tax_form == TaxForm.NONE or profile.tax_received_at is not None:
        raise Conflict(_("There is no tax form to confirm."), code="nothing_to_confirm")
    profile.tax_received_at, profile.tax_confirmed_by = now(), person
    profile.save()
    audit.record(profile.organisation_id, actor, "payee.confirm_tax_form", profile.organisation)


@transaction.atomic
def confirm_identity(profile: PayeeProfile, *, shown: str, person: User, actor: Actor) -> None:
    """Staff know who this is. Raises Conflict when it was verified before, or nobody has said who."""
    profile = _lock_shown(profile, shown, person)
    if profile.identity == Identity.VERIFIED or not profile.legal_name:
        raise Conflict(_("There is no identity to confirm."), code="nothing_to_confirm")
    _verify(profile, STAFF, actor)


@transaction.atomic
def hear_of_identity(organisation: Organisation, *, actor: Actor) -> None:
    """Stripe has verified who this is, just now: it vouches for no name that is stated later."""
    profile = _lock(organisation)
    if profile.identity != Identity.VERIFIED:
        _verify(profile, STRIPE, actor)


@transaction.atomic
def hold(organisation: Organisation, *, reason: str, person: User, actor: Actor) -> None:
    """Stop what has not left yet, with a reason that the owner reads. Raises Invalid; Forbidden for a member."""
    refuse_member(person, organisation)
    reason = reason.strip()
    if not 1 <= len(reason) <= 200 or not reason.isprintable():
        message = _("Write why, in up to 200 characters: the owner reads it.")
        raise Invalid(message, fields={"reason": [message]})
    profile = _lock(organisation)
    profile.hold_reason = reason
    profile.save()
    audit.record(organisation.pk, actor, "payee.hold", organisation, {"reason": reason})


@transaction.atomic
def let_go(organisation: Organisation, *, person: User, actor: Actor) -> None:
    """What was held goes on. Raises Conflict when nothing was; Forbidden for a member."""
    refuse_member(person, organisation)
    profile = _lock(organisation)
    if not profile.hold_reason:
        raise Conflict(_("Nothing is held."), code="nothing_held")
    profile.hold_reason = ""
    profile.save()
    audit.record(organisation.pk, actor, "payee.let_go", organisation)


def digest(profile: PayeeProfile) -> str:
    """Of what the owner states: staff confirm what they have read, and not what was written meanwhile."""
    stated = [profile.legal_name, profile.country, profile.tax_form]
    return hashlib.sha256(json.dumps(stated).encode()).hexdigest()


def _lock_shown(profile: PayeeProfile, shown: str, person: User) -> PayeeProfile:
    """Raises Conflict when something else is stated than was shown; Forbidden for a member."""
    refuse_member(person, profile.organisation)
    profile = _lock(profile.organisation)
    if shown != digest(profile):
        raise Conflict(_("The owner states something else by now: look at it again."), code="changed_since")
    return profile


def _verify(profile: PayeeProfile, by: str, actor: Actor) -> None:
    profile.identity, profile.identity_by = Identity.VERIFIED, by
    profile.save()
    audit.record(profile.organisation_id, actor, "payee.verify_identity", profile.organisation, {"by": by})


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
