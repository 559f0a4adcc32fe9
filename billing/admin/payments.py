"""Payments, and what the services have told us of them."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin import ReadOnlyAdmin
from billing import receipts
from billing.admin.refunds import RefundsOfPayment
from billing.models import Payment, WebhookEvent
from billing.payments import checkout
from lib.errors import AppError


@admin.register(Payment)
class PaymentAdmin(RefundsOfPayment, ReadOnlyAdmin):
    list_display = (
        "created_at",
        "organisation",
        "purpose",
        "plan",
        "amount",
        "refunded",
        "currency",
        "status",
        "reason",
        "receipt_number",
    )
    list_filter = ("status", "purpose", "service", "plan")
    search_fields = ("id", "organisation__name", "payer_email", "order_ref", "capture_ref", "receipt_number")
    list_select_related = ("organisation", "plan")
    date_hierarchy = "created_at"
    actions = ("check_at_service", "mail_receipt")

    @admin.action(description=gettext_lazy("Ask the payment service again"), permissions=["act"])
    def check_at_service(self, request: HttpRequest, rows: QuerySet[Payment]) -> None:
        for payment in rows:
            try:
                after = checkout.complete(payment.pk)
            except AppError as refusal:
                messages.error(request, f"{payment.public_id}: {refusal.message}")
            else:
                messages.success(request, f"{payment.public_id}: {after.get_status_display()}")

    @admin.action(description=gettext_lazy("Send the receipt again"), permissions=["act"])
    def mail_receipt(self, request: HttpRequest, rows: QuerySet[Payment]) -> None:
        for payment in rows.select_related("organisation", "plan"):
            try:
                count = receipts.send_receipt(payment)
            except AppError as refusal:
                messages.error(request, f"{payment.public_id}: {refusal.message}")
            else:
                messages.success(request, _("%(payment)s: sent to %(n)d.") % {"payment": payment.public_id, "n": count})

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Rows stay read-only; who may change billing may let the domain act."""
        return request.user.has_perm("billing.change_payment")


@admin.register(WebhookEvent)
class WebhookEventAdmin(ReadOnlyAdmin):
    list_display = ("received_at", "service", "kind", "event_ref", "processed_at", "error")
    list_filter = ("service", "kind", ("processed_at", admin.EmptyFieldListFilter))
    search_fields = ("event_ref", "kind", "error")
    date_hierarchy = "received_at"
