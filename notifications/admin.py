"""Messages for staff, to look at only."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.admin import ReadOnlyAdmin
from notifications import delivery
from notifications.models import Mail, Notification, SandboxMailbox
from notifications.states import MailStatus


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    list_display = ("title", "kind", "user", "organisation", "created_at", "read_at")
    list_filter = ("kind", ("read_at", admin.EmptyFieldListFilter))
    search_fields = ("title", "user__email", "organisation__name")
    list_select_related = ("user", "organisation")
    date_hierarchy = "created_at"


@admin.register(Mail)
class MailAdmin(ReadOnlyAdmin):
    """Never what a mail says: it may open its reader's account."""

    list_display = ("subject", "to", "status", "created_at", "sent_at", "failures")
    list_filter = ("status",)
    search_fields = ("to", "subject")
    date_hierarchy = "created_at"
    fields = ("to", "sender", "subject", "status", "created_at", "sent_at", "due_at", "failures", "last_error")
    actions = ("try_again",)

    @admin.action(description=_("Try to send it again"), permissions=["act"])
    def try_again(self, request: HttpRequest, rows: QuerySet[Mail]) -> None:
        tried = sum(delivery.try_again(mail) for mail in rows.filter(status=MailStatus.FAILED))
        messages.success(request, _("Tried again: %(n)d.") % {"n": tried})

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Rows stay read-only; who may change mail may have it sent."""
        return request.user.has_perm("notifications.change_mail")


@admin.register(SandboxMailbox)
class SandboxMailboxAdmin(ReadOnlyAdmin):
    list_display = ("address", "created_at")
    search_fields = ("address",)
    fields = ("address", "created_at")
