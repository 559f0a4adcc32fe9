"""What an anonymous visitor filled in on the deploy page, carried in the session until there is an account."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.core import signing
from django.http import HttpRequest

from accounts import actor as actors
from accounts.actor import Actor
from accounts.models import Organisation, User
from enrollment.forms import DeployForm
from marketplace.offers import find_offer
from pods.configs import create_config
from pods.models import PodConfig

SESSION_KEY = "deploy_draft"
SALT = "enrollment.draft"


def keep_draft(session: SessionBase, fields: dict[str, Any]) -> None:
    session[SESSION_KEY] = signing.dumps({"mode": settings.MODE, "fields": fields}, salt=SALT)


def read_draft(session: SessionBase) -> dict[str, Any] | None:
    """The fields as they were typed; none when there are none, or when they were made for the other mode."""
    try:
        draft = signing.loads(session.get(SESSION_KEY, ""), salt=SALT, max_age=14 * 24 * 3600)
    except signing.BadSignature:
        return None
    return draft["fields"] if draft["mode"] == settings.MODE else None


def drop_draft(session: SessionBase) -> None:
    session.pop(SESSION_KEY, None)


def keep_after_sign_up(*, request: HttpRequest, person: User, organisation: Organisation) -> None:
    """Called by `accounts.people` when somebody has signed up (settings.ON_SIGN_UP)."""
    draft = read_draft(request.session)
    config = save_draft(request.session, organisation=organisation, actor=actors.user(person))
    if config is not None and draft is not None:
        # The page that follows shows the same form again: what was typed stays there until it is deployed.
        keep_draft(request.session, draft)


def save_draft(session: SessionBase, *, organisation: Organisation, actor: Actor) -> PodConfig | None:
    """Make the draft a configuration of the organisation, at once, before the mail is confirmed."""
    fields = read_draft(session)
    if fields is None:
        return None
    form = DeployForm(fields)
    if not form.is_valid():
        return None
    config = create_config(organisation=organisation, actor=actor, **form.config_columns())
    offer = find_offer(form.cleaned_data["offer"]) if form.cleaned_data["offer"] else None
    if offer is not None:
        config.offer = offer
        config.save(update_fields=["offer"])
    drop_draft(session)
    return config
