"""Invoices, credit notes and tax rates for staff."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin

from accounts.admin import ReadOnlyAdmin
from billing import receipts
from billing.models import BillingDetails, Invoice, InvoiceFile, TaxRate
from lib.errors import AppError


@admin.register(Invoice)
class InvoiceAdmin(ReadOnlyAdmin):
    list_display = (
        "number",
        "issued_at",
        "organisation",
        "kind",
        "net",
        "tax",
        "gross",
        "currency",
        "tax_name",
        "tax_percent",
        "tax_treatment",
    )
    list_filter = ("kind", "year", "tax_treatment", "currency")
    search_fields = ("number", "organisation__name", "buyer__tax_id", "payment__id")
    list_select_related = ("organisation",)
    date_hierarchy = "issued_at"
    actions = ("send_again",)

    @admin.action(description=gettext_lazy("Send the invoice again"), permissions=["act"])
    def send_again(self, request: HttpRequest, rows: QuerySet[Invoice]) -> None:
        for invoice in rows.select_related("organisation", "payment", "refund", "corrects"):
            try:
                count = receipts.send_again(invoice)
            except AppError as refusal:
                messages.error(request, f"{invoice.number}: {refusal.message}")
            else:
                messages.success(request, _("%(payment)s: sent to %(n)d.") % {"payment": invoice.number, "n": count})

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Rows stay read-only; who may change billing may let the domain act."""
        return request.user.has_perm("billing.change_invoice")


@admin.register(InvoiceFile)
class InvoiceFileAdmin(ReadOnlyAdmin):
    list_display = ("invoice", "path", "size", "sha256", "rendered_at")
    search_fields = ("invoice__number", "path", "sha256")
    list_select_related = ("invoice",)


@admin.register(BillingDetails)
class BillingDetailsAdmin(ReadOnlyAdmin):
    list_display = ("organisation", "name", "address")
    search_fields = ("organisation__name", "name", "address")
    list_select_related = ("organisation",)


@admin.register(TaxRate)
class TaxRateAdmin(ModelAdmin):
    """A new rate is a new row with its date; those in force are never changed."""

    list_display = ("country", "name", "percent", "valid_from", "reason", "source")
    list_filter = ("valid_from",)
    search_fields = ("country", "name", "reason")
    ordering = ("country", "-valid_from")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
