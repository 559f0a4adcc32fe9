"""`/ws/dashboard/`: what of the organisation changed. `/ws/staff/billing/`: what of all customers' money did, for staff.
Pages fetch what they show."""

from __future__ import annotations

from accounts.access import current_organisation
from accounts.actor import Actor
from accounts.roles import Permission
from console.access import require_staff
from lib.push import STAFF_BILLING_GROUP, organisation_group
from lib.sockets import PageConsumer


class DashboardConsumer(PageConsumer):
    def authorise(self, actor: Actor) -> list[str]:
        return [organisation_group(current_organisation(actor, Permission.SEE_PODS).pk)]


class StaffBillingConsumer(PageConsumer):
    def authorise(self, actor: Actor) -> list[str]:
        require_staff(actor, "billing")
        return [STAFF_BILLING_GROUP]
