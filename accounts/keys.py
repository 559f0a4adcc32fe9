"""API keys: shown once, kept as a hash, never able to do more than who made them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from accounts import audit, plan_limits
from accounts.access import permissions_of
from accounts.actor import Actor
from accounts.models import ApiKey, Organisation
from accounts.roles import Permission
from lib import secrets
from lib.clock import now
from lib.errors import Conflict, Invalid

PREFIX = "gbk"
SHOWN = 12  # characters by which its owner recognises a key
USE_IS_NOTED_EVERY = timedelta(minutes=1)


def create_key(
    *, organisation: Organisation, name: str, scopes: Iterable[str], expires_at: datetime | None, actor: Actor
) -> tuple[ApiKey, str]:
    """The row and the key itself, which nobody can read again. Raises Invalid for scopes beyond the actor's own, Forbidden
    when the plan has no room for one more."""
    wanted = frozenset(scopes)
    beyond = wanted - permissions_of(actor, organisation.pk)
    if not wanted or beyond:
        message = _("You cannot give: %s.") % ", ".join(sorted(beyond)) if beyond else _("Choose at least one.")
        raise Invalid(_("These scopes cannot be given."), fields={"scopes": [message]})
    if expires_at is not None and expires_at <= now():
        raise Invalid(
            _("The key would already have expired."), fields={"expires_at": [_("Choose a time in the future.")]}
        )
    assert actor.user is not None  # who has a permission here is a person or a person's key
    token = secrets.new_token(PREFIX)
    with transaction.atomic():
        plan_limits.lock(organisation)
        plan_limits.require_room_for_key(organisation, _working(live_keys(organisation)).count())
        key = ApiKey.objects.create(
            organisation=organisation,
            created_by=actor.user,
            name=name,
            prefix=token[:SHOWN],
            key_hash=secrets.hash_token(token),
            scopes=sorted(wanted),
            expires_at=expires_at,
        )
        audit.record(organisation.pk, actor, "api_key.create", key, {"scopes": sorted(wanted)})
    return key, token


def revoke_key(*, key: ApiKey, actor: Actor) -> None:
    with transaction.atomic():
        if not ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now()):
            raise Conflict(_("This key has already been revoked."))
        audit.record(key.organisation_id, actor, "api_key.revoke", key)


def live_keys(organisation: Organisation) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(organisation=organisation, revoked_at=None).select_related("created_by")


def _working(keys: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
    return keys.filter(Q(expires_at=None) | Q(expires_at__gt=now()))


def find_key(token: str) -> ApiKey | None:
    """The key that a request carries, when it works: not revoked, not expired, its maker still active."""
    found = (
        _working(ApiKey.objects.filter(key_hash=secrets.hash_token(token)))
        .filter(revoked_at=None, created_by__is_active=True, organisation__archived_at=None)
        .select_related("created_by")
        .first()
    )
    if found is not None:
        _note_use(found)
    return found


def _note_use(key: ApiKey) -> None:
    """At most once a minute, so that a busy key writes no row for each call."""
    moment = now()
    if key.last_used_at is None or key.last_used_at < moment - USE_IS_NOTED_EVERY:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=moment)


def scopes_for(actor: Actor, organisation: Organisation) -> list[Permission]:
    """What the actor may give to a key, in the order of the table of permissions."""
    granted = permissions_of(actor, organisation.pk)
    return [permission for permission in Permission if permission in granted]
