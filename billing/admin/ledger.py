"""Accounts and their transfers: to be searched, never written."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy

from accounts.admin import ReadOnlyAdmin
from billing.models import Account, Transfer


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
