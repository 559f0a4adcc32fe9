"""Refunds for staff: seen in a list, asked for on the page of a payment."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts import actor as actors
from accounts.admin import ReadOnlyAdmin
from accounts.models import User
from billing import refunds
from billing.models import Payment, Refund
from billing.taking_back import upgrades_upon
from lib.errors import AppError


class RefundForm(BaseDialogForm):
    """`token` makes sending the form twice harmless."""

    amount = forms.CharField(label=gettext_lazy("Amount"), max_length=20, widget=UnfoldAdminTextInputWidget())
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=200, widget=UnfoldAdminTextInputWidget())
    token = forms.CharField(max_length=64, min_length=16, widget=forms.HiddenInput)

    def __init__(self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, object_id, *args, **kwargs)
        payment = Payment.objects.filter(pk=object_id).first() if object_id else None
        left = payment.left if payment else 0
        self.initial = {"amount": f"{left:.2f}", "token": uuid4().hex}


class RefundsOfPayment:
    """What the page of a payment can do beside showing it."""

    actions_detail = ("refund",)
    readonly_fields = ("refunded",)

    @action(
        description=gettext_lazy("Refund"),
        permissions=["refund"],
        dialog={
            "title": gettext_lazy("Refund this payment"),
            "description": gettext_lazy(
                "In part or in full. A top-up is taken out of the wallet, as far as it is there."
            ),
            "form_class": RefundForm,
            "form_submit_text": gettext_lazy("Refund"),
        },
    )
    def refund(self, request: HttpRequest, form: RefundForm, object_id: str) -> HttpResponse:
        payment, person = Payment.objects.get(pk=object_id), request.user
        assert isinstance(person, User)
        try:
            made = refunds.give_back(
                payment=payment,
                amount=form.cleaned_data["amount"],
                reason=form.cleaned_data["reason"],
                actor=actors.staff(person),
                idempotency_key=f"admin-{form.cleaned_data['token']}",
            )
        except AppError as refusal:
            messages.error(request, " ".join([refusal.message, *refusal.fields.get("reason", [])]))
        else:
            names = {"refund": made.public_id, "status": made.get_status_display()}
            messages.success(request, _("%(refund)s: %(status)s.") % names)
            _tell_of_upgrades(request, payment)
        return HttpResponse(headers={"HX-Redirect": reverse("admin:billing_payment_change", args=[object_id])})

    def has_refund_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return request.user.has_perm("billing.change_payment")


def _tell_of_upgrades(request: HttpRequest, payment: Payment) -> None:
    """They were paid on top of a month that has gone back: what they cost is kept unless somebody gives it back too."""
    payment.refresh_from_db()
    upgrades = [] if payment.left or payment.is_upgrade else upgrades_upon(payment)
    if upgrades:
        named = ", ".join(row.public_id for row in upgrades)
        messages.warning(
            request, _("Paid on top of this month, and not given back yet: %(payments)s.") % {"payments": named}
        )


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        "payment",
        "origin",
        "amount",
        "currency",
        "status",
        "reason",
        "error",
        "completed_at",
    )
    list_filter = ("status", "origin", "service")
    search_fields = ("id", "service_ref", "reason", "payment__id", "payment__organisation__name")
    list_select_related = ("payment",)
    date_hierarchy = "created_at"
