"""Disputes for staff: to be looked up here, decided on their own page."""

from __future__ import annotations

from django.contrib import admin

from accounts.admin import ReadOnlyAdmin
from billing.models import Dispute, DisputeAppeal, DisputeDecision, DisputeEvidence, DisputeRecord


@admin.register(Dispute)
class DisputeAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "pod_name", "renter", "owner", "amount", "currency", "status", "due_at", "refunded")
    list_filter = ("status", "reason")
    search_fields = ("id", "pod_id", "pod_name", "renter__name", "owner__name")
    list_select_related = ("renter", "owner")
    date_hierarchy = "created_at"


@admin.register(DisputeDecision)
class DisputeDecisionAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "dispute", "number", "refund", "by")
    list_select_related = ("dispute", "by")


@admin.register(DisputeAppeal)
class DisputeAppealAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "dispute", "organisation")
    list_select_related = ("dispute", "organisation")


@admin.register(DisputeEvidence)
class DisputeEvidenceAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "dispute", "organisation", "name", "content_type", "size")
    list_select_related = ("dispute", "organisation")


@admin.register(DisputeRecord)
class DisputeRecordAdmin(ReadOnlyAdmin):
    list_display = ("dispute", "name", "only_for")
    list_select_related = ("dispute", "only_for")
