"""Which staff may see and change what: the table of `accounts.roles` by group."""

from __future__ import annotations

from typing import TypeVar

from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _

from accounts import actor as actors
from accounts.actor import Actor
from accounts.models import User
from accounts.roles import STAFF_CHANGES, STAFF_SEES
from lib.errors import AppError, Forbidden, NotFound
from lib.ids import decode_id

Row = TypeVar("Row", bound=Model)


def require_staff(actor: Actor, app: str, *, change: bool = False) -> Actor:
    """The actor as staff. Others get 404 (401 when not signed in); staff of other groups 403.

    `app` is an app of the table, or `console` for what every member of staff may see.
    """
    if actor.kind == "anonymous":
        raise AppError(_("Sign in first."), code="unauthenticated", status=401)
    person = actor.user
    # An API key acts for a customer's organisation, never for staff.
    if person is None or not person.is_staff or not person.is_active or actor.kind == "api_key":
        raise NotFound(_("This does not exist, or it is not yours."))
    if not _is_granted(person, app, change=change):
        raise Forbidden(_("Your staff group is not allowed to do this."))
    return actors.staff(person)


def may_see(actor: Actor, app: str, *, change: bool = False) -> bool:
    """Of a member of staff: whether `require_staff` would let them."""
    person = actor.user
    return person is not None and person.is_staff and _is_granted(person, app, change=change)


def get_row(rows: QuerySet[Row], prefix: str, public_id: str) -> Row:
    """A row of any customer, for staff whom `require_staff` has let through. Raises NotFound."""
    found = rows.filter(pk=decode_id(prefix, public_id)).first()
    if found is None:
        raise NotFound(_("This does not exist."))
    return found


def _is_granted(person: User, app: str, *, change: bool) -> bool:
    table = STAFF_CHANGES if change else STAFF_SEES
    groups = person.groups.values_list("name", flat=True)
    return app == "console" or person.is_superuser or any(app in table.get(group, ()) for group in groups)
