"""Routes of organisations, members, invitations, API keys and the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from ninja import Router, Schema, Status
from pydantic import AwareDatetime, EmailStr, Field

from accounts import audit, invitations, keys, organisations
from accounts.access import (
    current_organisation,
    get_invitation,
    get_key,
    get_member,
    get_organisation,
    own_membership,
    require_person,
)
from accounts.api_auth import router as auth_router
from accounts.models import ApiKey, Invitation, Member, Organisation
from accounts.people import make_organisation
from accounts.requests import Request
from accounts.roles import Permission, Role
from lib import rate
from lib.errors import NotFound
from lib.lists import page_of

router = Router(tags=["organisations"])
router.add_router("", auth_router)


class OrganisationOut(Schema):
    id: str
    name: str
    role: str | None = None


class OrganisationIn(Schema):
    name: str = Field(min_length=1, max_length=120)


class MemberOut(Schema):
    id: str
    name: str
    email: str
    role: str
    joined_at: datetime


class RoleIn(Schema):
    role: str = Field(max_length=16)


class InvitationIn(Schema):
    email: EmailStr
    role: str = Field(max_length=16)


class InvitationOut(Schema):
    id: str
    email: str
    role: str
    expires_at: datetime


class AcceptIn(Schema):
    token: str = Field(max_length=120)


class ApiKeyIn(Schema):
    name: str = Field(min_length=1, max_length=80)
    scopes: list[str] = Field(min_length=1, max_length=20)
    expires_at: AwareDatetime | None = None


class KeyOut(Schema):
    id: str
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class NewKeyOut(KeyOut):
    key: str


class OrganisationPage(Schema):
    items: list[OrganisationOut]
    next: str | None


class MemberPage(Schema):
    items: list[MemberOut]
    next: str | None


class InvitationPage(Schema):
    items: list[InvitationOut]
    next: str | None


class KeyPage(Schema):
    items: list[KeyOut]
    next: str | None


class AuditOut(Schema):
    sequence: int
    at: datetime
    actor_kind: str
    actor_id: str
    action: str
    object_type: str
    object_id: str
    data: dict[str, Any]
    hash: str


class AuditPage(Schema):
    items: list[AuditOut]
    next: str | None


def show_organisation(organisation: Organisation, role: str | None = None) -> dict[str, Any]:
    return {"id": organisation.public_id, "name": organisation.name, "role": role}


def show_member(member: Member) -> dict[str, Any]:
    person = member.user
    return {
        "id": member.public_id,
        "name": person.name,
        "email": person.email,
        "role": member.role,
        "joined_at": member.joined_at,
    }


def show_invitation(row: Invitation) -> dict[str, Any]:
    return {"id": row.public_id, "email": row.email, "role": row.role, "expires_at": row.expires_at}


def show_key(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.public_id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
    }


@router.get("organisations/", response=OrganisationPage)
def list_organisations(request: Request, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """Those that the caller is a member of; for an API key its own."""
    actor = request.actor
    own = Member.objects.filter(user=actor.user, organisation__archived_at=None).select_related("organisation")
    if actor.kind == "api_key":
        assert actor.organisation_id is not None
        own = own.filter(organisation_id=actor.organisation_id)
    return page_of(own, limit=limit, cursor=cursor, show=lambda row: show_organisation(row.organisation, row.role))


@router.post("organisations/", response={201: OrganisationOut})
def create_organisation(request: Request, body: OrganisationIn) -> Status[dict[str, Any]]:
    """A further organisation, owned by the caller."""
    person = require_person(request.actor)
    rate.limit(person.pk.hex, "new-organisation", per_minute=5)
    return Status(201, show_organisation(make_organisation(person, body.name), Role.OWNER))


@router.get("organisations/{organisation_id}", response=OrganisationOut)
def read_organisation(request: Request, organisation_id: str) -> dict[str, Any]:
    organisation = get_organisation(request.actor, organisation_id, Permission.SEE_MEMBERS)
    member = Member.objects.filter(organisation=organisation, user=request.actor.user).first()
    return show_organisation(organisation, member.role if member else None)


@router.patch("organisations/{organisation_id}", response=OrganisationOut)
def rename_organisation(request: Request, organisation_id: str, body: OrganisationIn) -> dict[str, Any]:
    organisation = get_organisation(request.actor, organisation_id, Permission.MANAGE_ORGANISATION)
    organisations.rename_organisation(organisation=organisation, name=body.name, actor=request.actor)
    return show_organisation(organisation)


@router.get("organisations/{organisation_id}/members", response=MemberPage)
def list_members(request: Request, organisation_id: str, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    organisation = get_organisation(request.actor, organisation_id, Permission.SEE_MEMBERS)
    rows = Member.objects.filter(organisation=organisation).select_related("user")
    return page_of(rows, limit=limit, cursor=cursor, show=show_member)


@router.patch("organisations/{organisation_id}/members/{member_id}", response=MemberOut)
def change_role(request: Request, organisation_id: str, member_id: str, body: RoleIn) -> dict[str, Any]:
    member = _find_member(request, organisation_id, member_id)
    return show_member(organisations.change_role(member=member, role=body.role, actor=request.actor))


@router.delete("organisations/{organisation_id}/members/{member_id}", response={204: None})
def remove_member(request: Request, organisation_id: str, member_id: str) -> Status[None]:
    member = _find_member(request, organisation_id, member_id)
    organisations.remove_member(member=member, actor=request.actor)
    return Status(204, None)


def _find_member(request: Request, organisation_id: str, member_id: str) -> Member:
    organisation = get_organisation(request.actor, organisation_id, Permission.MANAGE_MEMBERS)
    member = get_member(request.actor, member_id, Permission.MANAGE_MEMBERS)
    if member.organisation_id != organisation.pk:
        raise NotFound(_("This does not exist, or it is not yours."))
    return member


@router.post("organisations/{organisation_id}/leave", response={204: None})
def leave_organisation(request: Request, organisation_id: str) -> Status[None]:
    organisation = get_organisation(request.actor, organisation_id, Permission.SEE_MEMBERS)
    organisations.leave_organisation(member=own_membership(request.actor, organisation.pk), actor=request.actor)
    return Status(204, None)


@router.get("organisations/{organisation_id}/audit", response=AuditPage)
def list_audit(request: Request, organisation_id: str, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """Newest first; `hash` covers the entry and the hash of the one before it."""
    organisation = get_organisation(request.actor, organisation_id, Permission.SEE_AUDIT)
    return audit.page_of_entries(organisation.pk, limit=limit, cursor=cursor)


@router.get("invitations/", response=InvitationPage)
def list_invitations(request: Request, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    organisation = current_organisation(request.actor, Permission.MANAGE_MEMBERS)
    return page_of(invitations.open_invitations(organisation), limit=limit, cursor=cursor, show=show_invitation)


@router.post("invitations/", response={201: InvitationOut})
def create_invitation(request: Request, body: InvitationIn) -> Status[dict[str, Any]]:
    organisation = current_organisation(request.actor, Permission.MANAGE_MEMBERS)
    rate.limit(organisation.pk.hex, "invite", per_minute=20)
    row = invitations.invite(organisation=organisation, email=body.email, role=body.role, actor=request.actor)
    return Status(201, show_invitation(row))


@router.post("invitations/accept", response=OrganisationOut)
def accept_invitation(request: Request, body: AcceptIn) -> dict[str, Any]:
    person = require_person(request.actor)
    rate.limit(request, "invitation", per_minute=20)
    member = invitations.accept(invitation=invitations.find_by_token(body.token), person=person)
    return show_organisation(member.organisation, member.role)


@router.delete("invitations/{invitation_id}", response={204: None})
def revoke_invitation(request: Request, invitation_id: str) -> Status[None]:
    invitation = get_invitation(request.actor, invitation_id, Permission.MANAGE_MEMBERS)
    invitations.revoke_invitation(invitation=invitation, actor=request.actor)
    return Status(204, None)


@router.get("auth/api-keys", response=KeyPage, tags=["auth"])
def list_keys(request: Request, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    organisation = current_organisation(request.actor, Permission.MANAGE_KEYS)
    return page_of(keys.live_keys(organisation), limit=limit, cursor=cursor, show=show_key)


@router.post("auth/api-keys", response={201: NewKeyOut}, tags=["auth"])
def create_key(request: Request, body: ApiKeyIn) -> Status[dict[str, Any]]:
    """The key stands in this answer and nowhere else afterwards."""
    organisation = current_organisation(request.actor, Permission.MANAGE_KEYS)
    row, token = keys.create_key(
        organisation=organisation,
        name=body.name,
        scopes=body.scopes,
        expires_at=body.expires_at,
        actor=request.actor,
    )
    return Status(201, show_key(row) | {"key": token})


@router.delete("auth/api-keys/{key_id}", response={204: None}, tags=["auth"])
def revoke_key(request: Request, key_id: str) -> Status[None]:
    keys.revoke_key(key=get_key(request.actor, key_id, Permission.MANAGE_KEYS), actor=request.actor)
    return Status(204, None)
