"""Who may do what: one table for members of organisations and one for staff groups."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Admin")
    DEVELOPER = "developer", _("Developer")
    BILLING = "billing", _("Billing")
    VIEWER = "viewer", _("Viewer")


class Permission(models.TextChoices):
    SEE_PODS = "pods.see", _("See pods")
    RUN_PODS = "pods.run", _("Deploy, stop and terminate pods")
    SEE_BILLING = "billing.see", _("See balances, payments and invoices")
    MANAGE_BILLING = "billing.manage", _("Pay, top up, change the plan, ask for payouts, answer disputes")
    SEE_MEMBERS = "members.see", _("See members")
    MANAGE_MEMBERS = "members.manage", _("Invite and remove members, change roles")
    MANAGE_KEYS = "keys.manage", _("Create and revoke API keys and provider keys")
    SEE_AUDIT = "audit.see", _("Read the audit log")
    MANAGE_ORGANISATION = "organisation.manage", _("Rename or archive the organisation")


_SEE = {Permission.SEE_PODS, Permission.SEE_MEMBERS}

ROLE_PERMISSIONS: dict[str, frozenset[Permission]] = {
    Role.OWNER: frozenset(Permission),
    Role.ADMIN: frozenset(set(Permission) - {Permission.MANAGE_ORGANISATION}),
    Role.DEVELOPER: frozenset(_SEE | {Permission.RUN_PODS, Permission.MANAGE_KEYS}),
    Role.BILLING: frozenset(_SEE | {Permission.SEE_BILLING, Permission.MANAGE_BILLING}),
    Role.VIEWER: frozenset(_SEE),
}


class StaffGroup(models.TextChoices):
    SUPPORT = "support", _("Support")
    FINANCE = "finance", _("Finance")
    OPERATIONS = "operations", _("Operations")
    ADMINISTRATOR = "administrator", _("Administrator")


# Apps whose rows a staff group may see, and change where the admin allows changes at all.
STAFF_SEES: dict[str, frozenset[str]] = {
    StaffGroup.SUPPORT: frozenset({"accounts", "pods", "marketplace", "catalyst", "enrollment", "notifications"}),
    StaffGroup.FINANCE: frozenset({"accounts", "billing", "enrollment"}),
    StaffGroup.OPERATIONS: frozenset({"marketplace", "pods", "catalyst", "notifications"}),
    StaffGroup.ADMINISTRATOR: frozenset(
        {"accounts", "billing", "marketplace", "pods", "catalyst", "enrollment", "notifications"}
    ),
}
STAFF_CHANGES: dict[str, frozenset[str]] = {
    StaffGroup.SUPPORT: frozenset(),
    StaffGroup.FINANCE: frozenset({"billing"}),
    StaffGroup.OPERATIONS: frozenset({"marketplace", "pods", "catalyst"}),
    StaffGroup.ADMINISTRATOR: STAFF_SEES[StaffGroup.ADMINISTRATOR],
}
