"""Plans, and who has them."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from accounts.admin import ReadOnlyAdmin
from billing.models import Plan, Subscription


@admin.register(Plan)
class PlanAdmin(ModelAdmin):
    """Prices and entitlements may be changed: they hold for what is bought and asked from now on. Who has a plan that
    renews itself keeps the price that they agreed to."""

    list_display = ("name", "slug", "price_per_month", "position", "is_public")
    list_filter = ("is_public",)
    search_fields = ("slug", "name")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Iterable[str]:
        return ("slug",) if obj else ()


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    list_display = ("organisation", "plan", "price_per_month", "status", "period_start", "period_end", "ended_at")
    list_filter = ("status", "plan")
    search_fields = ("id", "organisation__name", "organisation__memberships__user__email")
    list_select_related = ("organisation", "plan")
    date_hierarchy = "created_at"
