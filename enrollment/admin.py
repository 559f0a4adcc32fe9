"""Enrolments for staff: where people stand, and a new key for those who lost theirs."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin

from enrollment.checkout import send_key
from enrollment.models import Enrolment
from enrollment.states import EnrolmentStatus


@admin.register(Enrolment)
class EnrolmentAdmin(ModelAdmin):
    list_display = ("user", "plan", "status", "country", "payment", "pod", "created_at", "activated_at")
    list_filter = ("status", "plan", "country")
    search_fields = ("user__email", "organisation__name", "identity")
    date_hierarchy = "created_at"
    actions = ("send_new_key",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.action(description=_("Send a new activation key"))
    def send_new_key(self, request: HttpRequest, rows: QuerySet[Enrolment]) -> None:
        waiting = rows.filter(status=EnrolmentStatus.PAID)
        for enrolment in waiting:
            with transaction.atomic():
                send_key(enrolment)
        messages.success(request, _("Sent %d keys.") % len(waiting))
