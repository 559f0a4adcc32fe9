"""`/ws/dashboard/`: which of the organisation's pods changed. The page fetches what it shows."""

from __future__ import annotations

from accounts.access import current_organisation
from accounts.actor import Actor
from accounts.roles import Permission
from lib.push import organisation_group
from lib.sockets import PageConsumer


class DashboardConsumer(PageConsumer):
    def authorise(self, actor: Actor) -> list[str]:
        return [organisation_group(current_organisation(actor, Permission.SEE_PODS).pk)]
