"""Money for staff: everything can be seen and searched, nothing is written by hand. What acts calls the domain."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin

from accounts import actor as actors
from accounts import audit
from accounts.models import User
from billing import lots, receipts
from billing.admin_chain import DepositAdmin, WithdrawalAdmin
from billing.admin_chargebacks import ChargebackAdmin
from billing.admin_disputes import DisputeAdmin
from billing.admin_invoices import InvoiceAdmin, TaxRateAdmin
from billing.admin_methods import AutoTopUpAdmin, PaymentMethodAdmin, ServiceCustomerAdmin
from billing.admin_payouts import BankFileAdmin, PayeeProfileAdmin, PayoutAdmin, PayoutMethodAdmin
from billing.admin_referrals import ReferralAdmin, ReferralCodeAdmin
from billing.admin_refunds import RefundAdmin, RefundsOfPayment
from billing.models import Account, CreditLot, CreditRate, Payment, Plan, Subscription, Transfer, WebhookEvent
from billing.payments import checkout
from lib.errors import AppError
from lib.ids import new_id

__all__ = [  # Django looks for them here
    "AutoTopUpAdmin",
    "BankFileAdmin",
    "ChargebackAdmin",
    "DepositAdmin",
    "DisputeAdmin",
    "InvoiceAdmin",
    "PayeeProfileAdmin",
    "PaymentMethodAdmin",
    "PayoutAdmin",
    "PayoutMethodAdmin",
    "ReferralAdmin",
    "ReferralCodeAdmin",
    "RefundAdmin",
    "ServiceCustomerAdmin",
    "TaxRateAdmin",
    "WithdrawalAdmin",
]


class ReadOnlyAdmin(ModelAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    list_display = ("kind", "organisation", "label", "currency", "shard", "balance", "debits_pending", "created_at")
    list_filter = ("kind", "currency", "no_overdraft")
    search_fields = ("id", "organisation__name", "organisation__memberships__user__email", "label")
    list_select_related = ("organisation",)

    @admin.display(description=gettext_lazy("balance"))
    def balance(self, account: Account) -> str:
        return f"{account.credits_posted - account.debits_posted:f}"


@admin.register(Transfer)
class TransferAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        "amount",
        "currency",
        "state",
        "debit_account",
        "credit_account",
        "source_type",
        "memo",
    )
    list_filter = ("state", "currency", "source_type")
    search_fields = (
        "id",
        "source_id",
        "memo",
        "debit_account__organisation__name",
        "credit_account__organisation__name",
    )
    list_select_related = ("debit_account", "credit_account")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    show_full_result_count = False


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


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    list_display = ("organisation", "plan", "status", "period_start", "period_end", "ended_at")
    list_filter = ("status", "plan")
    search_fields = ("id", "organisation__name", "organisation__memberships__user__email")
    list_select_related = ("organisation", "plan")
    date_hierarchy = "created_at"


@admin.register(Plan)
class PlanAdmin(ModelAdmin):
    """Prices and entitlements may be changed: they hold for what is bought and asked from now on."""

    list_display = ("name", "slug", "price_per_month", "position", "is_public")
    list_filter = ("is_public",)
    search_fields = ("slug", "name")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Iterable[str]:
        return ("slug",) if obj else ()


@admin.register(CreditRate)
class CreditRateAdmin(ModelAdmin):
    """A new rate is a new row with its date; those in force are never changed."""

    list_display = ("resource", "credits_per_hour", "valid_from")
    list_filter = ("valid_from",)
    search_fields = ("resource",)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(CreditLot)
class CreditLotAdmin(ModelAdmin):
    """Adding one grants the credits; what is left of it is written by the domain alone."""

    list_display = ("created_at", "organisation", "source", "amount", "left", "expires_at")
    list_filter = ("source", ("expires_at", admin.EmptyFieldListFilter))
    search_fields = ("id", "organisation__name", "organisation__memberships__user__email")
    list_select_related = ("organisation",)
    fields = ("organisation", "amount", "expires_at")
    autocomplete_fields = ("organisation",)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: CreditLot, form: ModelForm[CreditLot], change: bool) -> None:
        assert isinstance(request.user, User)
        obj.pk = new_id()
        with transaction.atomic():
            lots.grant(obj.organisation, obj.amount, id=obj.pk, source=obj.Source.STAFF, expires_at=obj.expires_at)
            audit.record(
                obj.organisation_id, actors.staff(request.user), "credits.grant", obj, {"amount": str(obj.amount)}
            )


@admin.register(WebhookEvent)
class WebhookEventAdmin(ReadOnlyAdmin):
    list_display = ("received_at", "service", "kind", "event_ref", "processed_at", "error")
    list_filter = ("service", "kind", ("processed_at", admin.EmptyFieldListFilter))
    search_fields = ("event_ref", "kind", "error")
    date_hierarchy = "received_at"
