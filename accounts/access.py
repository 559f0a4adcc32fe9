"""The only way from a request to an organisation: 404 for what is not yours, 403 for what your role may not do."""

from __future__ import annotations

from typing import TypeVar
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.actor import Actor
from accounts.models import ApiKey, Invitation, Member, Organisation, User
from accounts.roles import ROLE_PERMISSIONS, Permission
from lib.errors import AppError, Forbidden, NotFound
from lib.ids import decode_id

Row = TypeVar("Row", Member, Invitation, ApiKey)


def permissions_of(actor: Actor, organisation_id: UUID) -> frozenset[Permission]:
    """What the actor may do in this organisation; empty when it is not theirs."""
    if actor.kind == "worker":
        return frozenset(Permission)
    if actor.kind == "staff":
        return _permissions_of_staff(actor, organisation_id)
    if actor.user is None or not actor.user.is_active:
        return frozenset()
    if actor.kind == "api_key" and actor.organisation_id != organisation_id:
        return frozenset()
    role = (
        Member.objects.filter(organisation_id=organisation_id, user=actor.user, organisation__archived_at=None)
        .values_list("role", flat=True)
        .first()
    )
    granted = ROLE_PERMISSIONS.get(role or "", frozenset())
    return granted if actor.scopes is None else granted & actor.scopes


def _permissions_of_staff(actor: Actor, organisation_id: UUID) -> frozenset[Permission]:
    """Who works for one customer reads nothing of others; money is for the groups of staff that see it."""
    if actor.organisation_id not in {None, organisation_id}:
        return frozenset()
    granted = frozenset({Permission.SEE_PODS, Permission.RUN_PODS, Permission.SEE_MEMBERS})
    sees_money = actor.user is not None and actor.user.has_perm("billing.view_payment")
    return granted | {Permission.SEE_BILLING} if sees_money else granted


def require(actor: Actor, permission: Permission, organisation_id: UUID) -> None:
    """Raise NotFound when the organisation is not the actor's, Forbidden when their role lacks the permission."""
    granted = permissions_of(actor, organisation_id)
    if permission in granted:
        return
    if not granted:
        raise NotFound(_("This does not exist, or it is not yours."))
    raise Forbidden(_("Your role does not allow this: it needs “%s”.") % permission.label)


def current_organisation(actor: Actor, permission: Permission) -> Organisation:
    """The organisation that the request works in, when the actor has this permission there."""
    require_signed_in(actor)
    if actor.organisation_id is None:
        raise NotFound(_("You are not a member of an organisation."))
    require(actor, permission, actor.organisation_id)
    return Organisation.objects.get(pk=actor.organisation_id)


def require_signed_in(actor: Actor) -> None:
    if actor.kind == "anonymous":
        raise AppError(_("Sign in first."), code="unauthenticated", status=401)


def require_person(actor: Actor) -> User:
    """The person themselves, not one of their keys: for what is about them and not about an organisation."""
    require_signed_in(actor)
    if actor.user is None or actor.kind == "api_key":
        raise Forbidden(_("This is for people: an API key cannot do it."))
    return actor.user


def get_organisation(actor: Actor, public_id: str, permission: Permission) -> Organisation:
    """Raises NotFound for those of others, Forbidden when the role lacks the permission; so do the next three."""
    require_signed_in(actor)
    organisation_id = decode_id("org", public_id)
    require(actor, permission, organisation_id)
    return Organisation.objects.get(pk=organisation_id)


def get_member(actor: Actor, public_id: str, permission: Permission) -> Member:
    rows = Member.objects.select_related("organisation", "user")
    return _checked(actor, rows.filter(pk=decode_id("mem", public_id)).first(), permission)


def get_invitation(actor: Actor, public_id: str, permission: Permission) -> Invitation:
    rows = Invitation.objects.select_related("organisation")
    return _checked(actor, rows.filter(pk=decode_id("inv", public_id)).first(), permission)


def get_key(actor: Actor, public_id: str, permission: Permission) -> ApiKey:
    rows = ApiKey.objects.select_related("organisation", "created_by")
    return _checked(actor, rows.filter(pk=decode_id("key", public_id)).first(), permission)


def own_membership(actor: Actor, organisation_id: UUID) -> Member:
    member = Member.objects.filter(organisation_id=organisation_id, user=require_person(actor)).first()
    if member is None:
        raise NotFound(_("You are not a member of this organisation."))
    return member


def _checked(actor: Actor, row: Row | None, permission: Permission) -> Row:
    require_signed_in(actor)
    if row is None:
        raise NotFound(_("This does not exist, or it is not yours."))
    require(actor, permission, row.organisation_id)
    return row
