"""Chargebacks for staff: a list to search in. They are answered on /staff/chargebacks/."""

from __future__ import annotations

from django.contrib import admin

from accounts.admin import ReadOnlyAdmin
from billing.models import Chargeback


@admin.register(Chargeback)
class ChargebackAdmin(ReadOnlyAdmin):
    list_display = (
        "opened_at",
        "payment",
        "amount",
        "currency",
        "reason",
        "status",
        "withdrawn",
        "returned",
        "fee",
        "due_at",
        "closed_at",
    )
    list_filter = ("status", "service", "reason")
    search_fields = ("id", "service_ref", "payment__id", "payment__organisation__name", "payment__payer_email")
    list_select_related = ("payment",)
    date_hierarchy = "opened_at"
