"""Staff working for a customer: begun and ended by them, on the record, and only for who may see organisations."""

from __future__ import annotations

from uuid import UUID

from django.contrib.sessions.backends.base import SessionBase
from django.utils.translation import gettext as _

from accounts import actor as actors
from accounts import audit
from accounts.models import Organisation, User
from lib.errors import Forbidden

SESSION_KEY = "on_behalf_of"


def may_act(person: User) -> bool:
    return person.is_active and person.is_staff and person.has_perm("accounts.view_organisation")


def begin(session: SessionBase, person: User, organisation: Organisation) -> None:
    """From now on this session works for the organisation. It stands in the customer's audit log."""
    if not may_act(person):
        raise Forbidden(_("You are not allowed to do this."))
    audit.record(organisation.pk, actors.staff(person), "staff.act_for", organisation)
    session[SESSION_KEY] = organisation.pk.hex


def end(session: SessionBase) -> None:
    session.pop(SESSION_KEY, None)


def customer_of(session: SessionBase, person: User) -> UUID | None:
    """The organisation for which this session works; none for who is not, or no longer, allowed to."""
    value = session.get(SESSION_KEY)
    return UUID(hex=value) if value and may_act(person) else None
