"""Organisations and their members. One rule above all: an organisation always has an owner."""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts import audit
from accounts.access import permissions_of
from accounts.actor import Actor
from accounts.models import Member, Organisation, User
from accounts.roles import ROLE_PERMISSIONS, Permission, Role
from lib.errors import Conflict, Forbidden, Invalid


def people_with(permission: Permission, organisation: Organisation) -> QuerySet[User]:
    """Its members who may do that, by address."""
    roles = [role for role, granted in ROLE_PERMISSIONS.items() if permission in granted]
    theirs = User.objects.filter(memberships__organisation=organisation, memberships__role__in=roles, is_active=True)
    return theirs.order_by("email")


def rename_organisation(*, organisation: Organisation, name: str, actor: Actor) -> Organisation:
    with transaction.atomic():
        organisation.name = name
        organisation.save(update_fields=["name"])
        audit.record(organisation.pk, actor, "organisation.rename", organisation)
    return organisation


def change_tax_identity(*, organisation: Organisation, country: str, tax_id: str, actor: Actor) -> Organisation:
    """Where the organisation is at home for the tax office, and under which number."""
    with transaction.atomic():
        organisation.country, organisation.tax_id = country, tax_id
        organisation.save(update_fields=["country", "tax_id"])
        audit.record(organisation.pk, actor, "organisation.tax_identity", organisation, {"country": country})
    return organisation


def check_role_is_grantable(actor: Actor, organisation: Organisation, role: str) -> None:
    """Nobody gives what they do not have: an admin makes no owner. Raises Invalid for an unknown role, Forbidden."""
    if role not in Role.values:
        raise Invalid(_("There is no such role."), fields={"role": [_("Choose one of: %s.") % ", ".join(Role.values)]})
    if not ROLE_PERMISSIONS[role] <= permissions_of(actor, organisation.pk):
        raise Forbidden(_("You cannot give a role that may do more than you."))


def change_role(*, member: Member, role: str, actor: Actor) -> Member:
    """Raises Conflict for the last owner, Forbidden for a role (old or new) above the actor's own."""
    with transaction.atomic():
        member = _lock(member)
        check_role_is_grantable(actor, member.organisation, role)
        check_role_is_grantable(actor, member.organisation, member.role)
        if member.role == role:
            return member
        if member.role == Role.OWNER:
            _refuse_last_owner(member)
        before, member.role = member.role, role
        member.save(update_fields=["role"])
        audit.record(member.organisation_id, actor, "member.role", member, {"from": before, "to": role})
    return member


def remove_member(*, member: Member, actor: Actor) -> None:
    """End a membership; with it everything that the person's keys could do here."""
    with transaction.atomic():
        member = _lock(member)
        check_role_is_grantable(actor, member.organisation, member.role)
        _end(member, actor, "member.remove")


def leave_organisation(*, member: Member, actor: Actor) -> None:
    with transaction.atomic():
        _end(_lock(member), actor, "member.leave")


def _end(member: Member, actor: Actor, action: str) -> None:
    if member.role == Role.OWNER:
        _refuse_last_owner(member)
    audit.record(member.organisation_id, actor, action, member, {"user": member.user.public_id})
    member.delete()


def _lock(member: Member) -> Member:
    """All members of the organisation, so that two owners cannot leave at the same moment."""
    rows = Member.objects.filter(organisation_id=member.organisation_id).select_related("organisation", "user")
    locked = {row.pk: row for row in rows.select_for_update(of=("self",), no_key=True).order_by("pk")}
    if member.pk not in locked:
        raise Conflict(_("This person is no longer a member."))
    return locked[member.pk]


def _refuse_last_owner(member: Member) -> None:
    others = Member.objects.filter(organisation_id=member.organisation_id, role=Role.OWNER, user__is_active=True)
    if not others.exclude(pk=member.pk).exists():
        raise Conflict(_("An organisation needs an owner. Make somebody else owner first."), code="last_owner")
