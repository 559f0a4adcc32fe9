"""Messages for staff, to look at only."""

from __future__ import annotations

from django.contrib import admin

from accounts.admin import ReadOnlyAdmin
from notifications.models import Notification, SandboxMail, SandboxMailbox


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    list_display = ("title", "kind", "user", "organisation", "created_at", "read_at")
    list_filter = ("kind", ("read_at", admin.EmptyFieldListFilter))
    search_fields = ("title", "user__email", "organisation__name")
    list_select_related = ("user", "organisation")
    date_hierarchy = "created_at"


@admin.register(SandboxMail)
class SandboxMailAdmin(ReadOnlyAdmin):
    list_display = ("subject", "to", "created_at")
    search_fields = ("to", "subject")
    date_hierarchy = "created_at"


@admin.register(SandboxMailbox)
class SandboxMailboxAdmin(ReadOnlyAdmin):
    list_display = ("address", "created_at")
    search_fields = ("address",)
    fields = ("address", "created_at")
