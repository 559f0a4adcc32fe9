"""How much an organisation's plan allows. Billing knows: settings name its function, as accounts stand below it."""

from __future__ import annotations

from django.conf import settings
from django.utils.module_loading import import_string

from accounts.models import Member, Organisation


def require_room_for_key(organisation: Organisation, used: int) -> None:
    _require("api_keys", organisation, used)


def require_room_for_member(organisation: Organisation, *, invited: int = 0) -> None:
    """Raise Forbidden (plan_limit) unless one more may join, beside those whom `invited` counts."""
    _require("members", organisation, Member.objects.filter(organisation=organisation).count() + invited)


def lock(organisation: Organisation) -> None:
    """Inside a transaction: two requests at the same moment do not both take the last place."""
    Organisation.objects.select_for_update(no_key=True).only("pk").get(pk=organisation.pk)


def _require(name: str, organisation: Organisation, used: int) -> None:
    import_string(settings.REQUIRE_ENTITLEMENT)(organisation, name, used)
