"""Staff pages of money: customers, transactions, refunds and costs."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods

from accounts.requests import Request
from billing import refunds
from billing.models import Payment, Refund
from billing.payments.services import NAMES
from console import customers, transactions
from console.access import get_row, may_see, require_staff
from console.costs import costs
from lib.errors import AppError, Invalid, NotFound
from lib.forms import DaysForm, add_refusal, read_number
from lib.lists import listed
from lib.rate import limit

ROWS = 50
ANY = ("", gettext_lazy("Any"))


class TransactionsForm(DaysForm):
    kind = forms.ChoiceField(
        label=gettext_lazy("Kind"),
        required=False,
        choices=[ANY, *((name, kind.name) for name, kind in transactions.KINDS.items())],
    )
    service = forms.ChoiceField(
        label=gettext_lazy("Service"),
        required=False,
        choices=[ANY, *((slug, NAMES.get(slug, slug.upper())) for slug in transactions.services())],
    )
    status = forms.ChoiceField(
        label=gettext_lazy("State"),
        required=False,
        choices=[
            ANY,
            *{value: label for statuses in transactions.STATUSES for value, label in statuses.choices}.items(),
        ],
    )
    field_order = ("kind", "service", "status")


class RefundForm(forms.Form):
    """`token` makes sending the form twice harmless."""

    payment = forms.CharField(
        label=gettext_lazy("Payment"),
        max_length=40,
        help_text=gettext_lazy("Its id, as it stands among the transactions: pay_…"),
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false"}),
    )
    amount = forms.CharField(
        label=gettext_lazy("Amount, USD"),
        max_length=20,
        widget=forms.TextInput({"inputmode": "decimal", "autocomplete": "off"}),
    )
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=200)
    token = forms.CharField(max_length=64, min_length=16, widget=forms.HiddenInput)


@require_GET
def list_customers(request: Request) -> HttpResponse:
    require_staff(request.actor, "accounts")
    search = request.GET.get("q", "")[:120]
    page = Paginator(customers.customers(search), ROWS).get_page(request.GET.get("page"))
    context = {"page": page, "search": search, "sees_money": may_see(request.actor, "billing")}
    return render(request, "console/customers.html", context)


@require_GET
def show_customer(request: Request, organisation_id: str) -> HttpResponse:
    require_staff(request.actor, "accounts")
    customer = customers.find(organisation_id)
    sees_money = may_see(request.actor, "billing")
    context: dict[str, Any] = {
        "customer": customer,
        "details": customers.details_of(customer),
        "sees_money": sees_money,
        "transactions": [],
    }
    if sees_money:
        wanted = transactions.Wanted(organisation=customer)
        context["transactions"] = transactions.page(wanted, limit=20, cursor=None)["items"]
    return render(request, "console/customer.html", context)


@require_GET
def list_transactions(request: Request) -> HttpResponse:
    require_staff(request.actor, "billing")
    form = TransactionsForm(request.GET)
    context: dict[str, Any] = {"form": form, "rows": []}
    if form.is_valid():
        cursor = request.GET.get("before") or None
        page = transactions.page(transactions.Wanted(**form.cleaned_data), limit=ROWS, cursor=cursor)
        context |= listed(page, form.cleaned_data, cursor)
    return render(request, "console/transactions.html", context, status=422 if form.errors else 200)


@require_GET
def show_transaction(request: Request, tx_id: str) -> HttpResponse:
    require_staff(request.actor, "billing")
    found = transactions.find(tx_id)
    payment = found.row if found.kind == "payment" else getattr(found.row, "payment", None)
    context = {
        "transaction": found,
        "legs": transactions.legs_of(found),
        "payment": payment,
        "refunds": payment.refunds.order_by("-pk") if payment else [],
        "may_refund": may_see(request.actor, "billing", change=True),
    }
    return render(request, "console/transaction.html", context)


@require_http_methods(["GET", "POST"])
def show_refunds(request: Request) -> HttpResponse:
    """All refunds, and the form that asks for one: in part or in full."""
    require_staff(request.actor, "billing", change=request.method == "POST")
    form = RefundForm(request.POST if request.method == "POST" else None, initial=_proposed(request))
    if request.method == "POST" and form.is_valid() and (refund := _refund(request, form)):
        names = {"refund": refund.public_id, "status": refund.get_status_display()}
        messages.success(request, _("%(refund)s: %(status)s.") % names)
        return redirect("console:refunds")
    rows = Refund.objects.select_related("payment__organisation", "credit_note").order_by("-pk")
    context = {
        "form": form,
        "page": Paginator(rows, ROWS).get_page(request.GET.get("page")),
        "may_refund": may_see(request.actor, "billing", change=True),
    }
    return render(request, "console/refunds.html", context, status=422 if form.errors else 200)


@require_GET
def show_costs(request: Request) -> HttpResponse:
    require_staff(request.actor, "billing")
    limit(request, "staff.costs", per_minute=30)
    return render(request, "console/costs.html", {"costs": costs()})


def _proposed(request: Request) -> dict[str, str]:
    """What the page of a payment leads here with: all that is left of it."""
    values = {"token": uuid4().hex}
    if wanted := request.GET.get("payment", ""):
        payment = _payment(wanted)
        values |= {"payment": payment.public_id, "amount": f"{payment.left:.2f}"}
    return values


def _refund(request: Request, form: RefundForm) -> Refund | None:
    actor = require_staff(request.actor, "billing", change=True)
    limit(request, "staff.refund", per_minute=20)
    try:
        return refunds.give_back(
            payment=_payment(form.cleaned_data["payment"]),
            amount=read_number(form.cleaned_data["amount"]),
            reason=form.cleaned_data["reason"],
            actor=actor,
            idempotency_key=f"page-{form.cleaned_data['token']}",
        )
    except NotFound as unknown:
        add_refusal(form, Invalid(unknown.message, fields={"payment": [unknown.message]}))
    except AppError as refusal:
        add_refusal(form, refusal)
    return None


def _payment(public_id: str) -> Payment:
    return get_row(Payment.objects.all(), "pay", public_id)
