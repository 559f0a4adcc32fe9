"""The only way from a request to an organisation: 404 for what is not yours, 403 for what your role may not do."""

from __future__ import annotations

from uuid import UUID

from django.utils.translation import gettext as _

from accounts.actor import Actor
from accounts.models import Member, Organisation
from accounts.roles import ROLE_PERMISSIONS, Permission
from lib.errors import AppError, Forbidden, NotFound


def permissions_of(actor: Actor, organisation_id: UUID) -> frozenset[Permission]:
    """What the actor may do in this organisation; empty when it is not theirs."""
    if actor.kind == "worker":
        return frozenset(Permission)
    if actor.kind == "staff":
        return frozenset({Permission.SEE_PODS, Permission.RUN_PODS, Permission.SEE_BILLING, Permission.SEE_MEMBERS})
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
    if actor.kind == "anonymous":
        raise AppError(_("Sign in first."), code="unauthenticated", status=401)
    if actor.organisation_id is None:
        raise NotFound(_("You are not a member of an organisation."))
    require(actor, permission, actor.organisation_id)
    return Organisation.objects.get(pk=actor.organisation_id)
