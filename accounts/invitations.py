"""Inviting people by mail. The token in the link is the proof that the mailbox is theirs; only its hash is kept."""

from __future__ import annotations

from datetime import timedelta

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import actor as actors
from accounts import audit, plan_limits
from accounts.actor import Actor
from accounts.models import Invitation, Member, Organisation, User
from accounts.organisations import check_role_is_grantable
from lib import mail, secrets
from lib.clock import now
from lib.errors import Conflict, Forbidden, NotFound

LIFE = timedelta(days=7)
SESSION_KEY = "invitation"


def invite(*, organisation: Organisation, email: str, role: str, actor: Actor) -> Invitation:
    """Mail a link that makes its reader a member. Raises Conflict when they are one, or are invited already,
    and Forbidden when the plan has no room for one more."""
    email = email.lower()
    check_role_is_grantable(actor, organisation, role)
    if Member.objects.filter(organisation=organisation, user__email=email).exists():
        raise Conflict(_("This person is already a member."), fields={"email": [_("Already a member.")]})
    token = secrets.new_token("inv")
    try:
        with transaction.atomic():
            plan_limits.lock(organisation)
            _open(organisation).filter(email=email, expires_at__lte=now()).update(revoked_at=now())
            invited = _open(organisation).filter(expires_at__gt=now()).exclude(email=email).count()
            plan_limits.require_room_for_member(organisation, invited=invited)
            invitation = Invitation.objects.create(
                organisation=organisation,
                email=email,
                role=role,
                token_hash=secrets.hash_token(token),
                invited_by=actor.user,
                expires_at=now() + LIFE,
            )
            audit.record(organisation.pk, actor, "invitation.create", invitation, {"role": role})
            url = settings.PUBLIC_URL + reverse("accounts:accept-invitation", args=[token])
            context = {"invitation": invitation, "inviter": actor.user, "url": url, "days": LIFE.days}
            mail.send(email, "accounts/mail/invitation", context)
    except IntegrityError:
        message = _("This address has an open invitation. Revoke it to send another.")
        raise Conflict(message, fields={"email": [message]}) from None
    return invitation


def open_invitations(organisation: Organisation) -> QuerySet[Invitation]:
    return _open(organisation).filter(expires_at__gt=now()).select_related("invited_by").order_by("-pk")


def _open(organisation: Organisation) -> QuerySet[Invitation]:
    return Invitation.objects.filter(organisation=organisation, accepted_at=None, revoked_at=None)


def revoke_invitation(*, invitation: Invitation, actor: Actor) -> None:
    with transaction.atomic():
        changed = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None).update(
            revoked_at=now()
        )
        if not changed:
            raise Conflict(_("This invitation has already been accepted or revoked."))
        audit.record(invitation.organisation_id, actor, "invitation.revoke", invitation)


def find_by_token(token: str) -> Invitation:
    """The open invitation of a mailed link. Raises NotFound for one that is used, revoked, too old or unknown."""
    found = (
        Invitation.objects.filter(token_hash=secrets.hash_token(token), accepted_at=None, revoked_at=None)
        .filter(expires_at__gt=now(), organisation__archived_at=None)
        .select_related("organisation", "invited_by")
        .first()
    )
    if found is None:
        raise NotFound(_("This invitation was used, revoked or has expired. Ask for a new one."))
    return found


def accept(*, invitation: Invitation, person: User) -> Member:
    """Make the person a member. The invitation is to one address: theirs must be it. Raises Forbidden, Conflict."""
    if not EmailAddress.objects.filter(user=person, email=invitation.email, verified=True).exists():
        message = _("This invitation is for %(email)s. Sign in with that address.")
        raise Forbidden(message % {"email": invitation.email})
    with transaction.atomic():
        changed = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None).update(
            accepted_at=now()
        )
        if not changed:
            raise Conflict(_("This invitation has already been accepted or revoked."))
        plan_limits.lock(invitation.organisation)
        if not Member.objects.filter(organisation_id=invitation.organisation_id, user=person).exists():
            plan_limits.require_room_for_member(invitation.organisation)
        member, _made = Member.objects.get_or_create(
            organisation_id=invitation.organisation_id, user=person, defaults={"role": invitation.role}
        )
        joined = actors.user(person, organisation_id=invitation.organisation_id)
        audit.record(invitation.organisation_id, joined, "member.join", member, {"role": member.role})
    return member


def remember_token(session: SessionBase, token: str) -> None:
    """Kept while its reader signs in or up."""
    session[SESSION_KEY] = token


def accept_at_sign_up(person: User, session: SessionBase) -> Organisation | None:
    """The organisation that this session's invitation is to, when it is to this very address; the person joins it."""
    token = session.pop(SESSION_KEY, "")
    if not token:
        return None
    try:
        invitation = find_by_token(token)
        accept(invitation=invitation, person=person)
    except (NotFound, Forbidden, Conflict):
        return None
    return invitation.organisation
