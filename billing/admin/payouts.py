"""Payouts for staff, to be seen; what staff do to them is on `/staff/payouts/`."""

from __future__ import annotations

from django.contrib import admin

from accounts.admin import ReadOnlyAdmin
from billing.models import BankFile, PayeeProfile, Payout, PayoutMethod


@admin.register(Payout)
class PayoutAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "organisation", "kind", "amount", "currency", "status", "reason", "finished_at")
    list_filter = ("status", "kind", "needs_approval")
    search_fields = ("id", "service_ref", "organisation__name")
    list_select_related = ("organisation",)
    date_hierarchy = "created_at"


@admin.register(PayoutMethod)
class PayoutMethodAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        "organisation",
        "kind",
        "display",
        "is_default",
        "is_ready",
        "payable_from",
        "removed_at",
    )
    list_filter = ("kind", "is_ready")
    search_fields = ("id", "display", "destination", "organisation__name")
    list_select_related = ("organisation",)
    exclude = ("sealed_account",)


@admin.register(PayeeProfile)
class PayeeProfileAdmin(ReadOnlyAdmin):
    list_display = ("organisation", "legal_name", "country", "tax_form", "tax_received_at", "identity", "hold_reason")
    list_filter = ("tax_form", "identity")
    search_fields = ("legal_name", "organisation__name")
    list_select_related = ("organisation",)


@admin.register(BankFile)
class BankFileAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "count", "total", "currency", "created_by", "sha256")
    list_select_related = ("created_by",)
    exclude = ("sealed_content",)
