"""Saved cards, customers at payment services, automatic top-ups and alerts of balances, for staff to see."""

from __future__ import annotations

from django.contrib import admin

from accounts.admin import ReadOnlyAdmin
from billing.models import AutoTopUp, BalanceAlert, PaymentMethod, ServiceCustomer


@admin.register(PaymentMethod)
class PaymentMethodAdmin(ReadOnlyAdmin):
    list_display = ("organisation", "brand", "last4", "exp_month", "exp_year", "is_default", "created_at", "removed_at")
    list_filter = ("service", "brand", ("removed_at", admin.EmptyFieldListFilter))
    search_fields = ("id", "ref", "fingerprint", "last4", "organisation__name")
    list_select_related = ("organisation",)
    date_hierarchy = "created_at"


@admin.register(ServiceCustomer)
class ServiceCustomerAdmin(ReadOnlyAdmin):
    list_display = ("organisation", "service", "ref", "created_at")
    list_filter = ("service",)
    search_fields = ("ref", "organisation__name")
    list_select_related = ("organisation",)


@admin.register(AutoTopUp)
class AutoTopUpAdmin(ReadOnlyAdmin):
    list_display = ("organisation", "is_on", "threshold", "amount", "tried_at", "declines")
    list_filter = ("is_on",)
    search_fields = ("organisation__name",)
    list_select_related = ("organisation",)


@admin.register(BalanceAlert)
class BalanceAlertAdmin(ReadOnlyAdmin):
    list_display = ("organisation", "currency", "below", "told_at", "watches_runway", "runway_level")
    list_filter = ("currency",)
    search_fields = ("organisation__name",)
    list_select_related = ("organisation",)
