"""Saved cards and customers at payment services, for staff to see."""

from __future__ import annotations

from django.contrib import admin

from accounts.admin import ReadOnlyAdmin
from billing.models import PaymentMethod, ServiceCustomer


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
