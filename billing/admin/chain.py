"""USDC for staff: everything can be seen; claims, approvals and resolved alarms go through the domain."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import actor as actors
from accounts.admin import ReadOnlyAdmin
from accounts.models import User
from billing.chain import alarms, deposits, sending, withdrawals
from billing.lifecycle import DepositStatus
from billing.models import ChainAlarm, ChainCursor, Deposit, LinkedWallet, LinkNonce, Withdrawal, WithdrawalAttempt
from lib.errors import AppError


class SeenOnly(ReadOnlyAdmin):
    """Rows are not written by hand; who may change billing may let the domain act."""

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.change_payment")


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


@admin.register(Deposit)
class DepositAdmin(SeenOnly):
    """The unmatched queue is the filter of that status: choose the organisation of a deposit and save, and it is credited."""

    list_display = ("seen_at", "chain", "amount", "sender", "organisation", "status", "block_number", "credited_at")
    list_filter = ("status", "chain")
    search_fields = ("id", "tx_hash", "sender", "organisation__name")
    list_select_related = ("organisation",)
    autocomplete_fields = ("organisation",)
    date_hierarchy = "seen_at"

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        waiting = isinstance(obj, Deposit) and obj.status == DepositStatus.UNMATCHED
        return waiting and self.has_act_permission(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return [field.name for field in Deposit._meta.fields if field.name != "organisation"]

    def save_model(self, request: HttpRequest, obj: Deposit, form: forms.Form, change: bool) -> None:
        organisation = form.cleaned_data["organisation"]
        if organisation is None:
            return
        try:
            deposits.claim(obj, organisation, actor=actors.staff(_person(request)))
        except AppError as refusal:
            messages.error(request, refusal.message)


@admin.register(Withdrawal)
class WithdrawalAdmin(SeenOnly):
    list_display = ("created_at", "organisation", "chain", "amount", "address", "status", "reason", "not_before")
    list_filter = ("status", "needs_approval", ("approved_at", admin.EmptyFieldListFilter), "chain")
    search_fields = ("id", "address", "tx_hash", "organisation__name")
    list_select_related = ("organisation",)
    date_hierarchy = "created_at"
    actions = ("approve", "refuse", "give_up")

    @admin.action(description=gettext_lazy("Approve"), permissions=["act"])
    def approve(self, request: HttpRequest, rows: QuerySet[Withdrawal]) -> None:
        person = _person(request)
        self._each(request, rows, lambda row: withdrawals.approve(row, person=person, actor=actors.staff(person)))

    @admin.action(description=gettext_lazy("Refuse, and give the sum back"), permissions=["act"])
    def refuse(self, request: HttpRequest, rows: QuerySet[Withdrawal]) -> None:
        actor = actors.staff(_person(request))
        self._each(request, rows, lambda row: withdrawals.cancel(row, actor=actor, reason="by_staff"))

    @admin.action(description=gettext_lazy("Give up what can never be paid"), permissions=["act"])
    def give_up(self, request: HttpRequest, rows: QuerySet[Withdrawal]) -> None:
        actor = actors.staff(_person(request))
        self._each(request, rows, lambda row: sending.give_up(row, actor=actor))

    def _each(self, request: HttpRequest, rows: QuerySet[Withdrawal], act: Any) -> None:
        for row in rows:
            try:
                after = act(row)
            except AppError as refusal:
                messages.error(request, f"{row.public_id}: {refusal.message}")
            else:
                messages.success(request, f"{row.public_id}: {after.get_status_display()}")


@admin.register(WithdrawalAttempt)
class WithdrawalAttemptAdmin(SeenOnly):
    list_display = ("signed_at", "withdrawal", "number", "tx_hash", "max_fee_wei", "priority_fee_wei", "sent_at")
    search_fields = ("tx_hash",)
    list_select_related = ("withdrawal",)
    exclude = ("raw",)


@admin.register(ChainAlarm)
class ChainAlarmAdmin(SeenOnly):
    list_display = ("created_at", "chain", "kind", "subject", "detail", "resolved_at", "resolved_by")
    list_filter = (("resolved_at", admin.EmptyFieldListFilter), "kind", "chain")
    search_fields = ("subject", "detail")
    actions = ("mark_resolved",)

    @admin.action(description=gettext_lazy("Mark as resolved"), permissions=["act"])
    def mark_resolved(self, request: HttpRequest, rows: QuerySet[ChainAlarm]) -> None:
        count = sum(alarms.resolve(row, _person(request)) for row in rows)
        messages.success(request, _("%(n)d resolved.") % {"n": count})


@admin.register(ChainCursor)
class ChainCursorAdmin(SeenOnly):
    list_display = ("chain", "block_number", "finalized_number", "checked_at", "last_error")


@admin.register(LinkedWallet)
class LinkedWalletAdmin(SeenOnly):
    list_display = ("address", "organisation", "linked_at", "unlinked_at")
    search_fields = ("address", "organisation__name")
    list_select_related = ("organisation",)


@admin.register(LinkNonce)
class LinkNonceAdmin(SeenOnly):
    list_display = ("organisation", "user", "created_at", "expires_at", "used_at")
    fields = ("organisation", "user", "created_at", "expires_at", "used_at")
    list_select_related = ("organisation", "user")
