"""Referrals for staff: who brought whom, and why somebody is not eligible."""

from __future__ import annotations

from django.contrib import admin

from accounts.admin import ReadOnlyAdmin
from billing.models import Referral, ReferralCode


@admin.register(ReferralCode)
class ReferralCodeAdmin(ReadOnlyAdmin):
    list_display = ("code", "organisation", "created_at")
    search_fields = ("code", "organisation__name")
    list_select_related = ("organisation",)


@admin.register(Referral)
class ReferralAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "referrer", "referred", "status", "reason", "due_at", "reward", "rewarded_at")
    list_filter = ("status", "reason")
    search_fields = ("id", "referrer__name", "referred__name")
    list_select_related = ("referrer", "referred")
    date_hierarchy = "created_at"
