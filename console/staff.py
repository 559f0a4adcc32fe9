"""Figures for staff: pods, people, money, providers and nodes, now and over the last thirty days."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Count, Sum
from django.db.models.functions import TruncDate
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.models import Organisation, User
from accounts.requests import Request
from billing import ledger
from billing.models import Payment, Subscription
from catalyst.models import Failover, Node
from console import spending
from console.access import require_staff
from lib.clock import now
from lib.money import money_json
from marketplace.models import Provider
from pods.models import Pod

DAYS = 30


def figures() -> dict[str, Any]:
    month = spending.month_start()
    paid = Payment.objects.filter(status="captured", captured_at__gte=month)
    return {
        "pods": dict(Pod.objects.values_list("status").annotate(n=Count("pk")).order_by("status")),
        "people": User.objects.filter(is_staff=False).count(),
        "organisations": Organisation.objects.filter(archived_at=None).count(),
        "subscriptions": Subscription.objects.filter(status="active").count(),
        "month_used": spending.spent_since(None, month),
        "month_received": paid.aggregate(total=Sum("amount"))["total"] or spending.ZERO,
        "providers": list(Provider.objects.filter(enabled=True).exclude(last_attempt_at=None).order_by("name")),
        "nodes": list(Node.objects.filter(archived_at=None).order_by("name")),
        "failovers": list(Failover.objects.select_related("pod", "from_node", "to_node").order_by("-pk")[:10]),
        "ledger_problems": ledger.check(),
    }


def series() -> dict[str, list[Any]]:
    """Thirty days for the charts: dollars used, dollars received, pods made, people joined."""
    days = [day for day, _ in spending.spent_by_day(None, days=DAYS, currency="USD")]
    first = now() - timedelta(days=DAYS)
    received = dict(
        Payment.objects.filter(status="captured", captured_at__gte=first)
        .annotate(day=TruncDate("captured_at"))
        .values_list("day")
        .annotate(total=Sum("amount"))
    )
    made = dict(
        Pod.objects.filter(created_at__gte=first)
        .annotate(day=TruncDate("created_at"))
        .values_list("day")
        .annotate(n=Count("pk"))
    )
    joined = dict(
        User.objects.filter(date_joined__gte=first, is_staff=False)
        .annotate(day=TruncDate("date_joined"))
        .values_list("day")
        .annotate(n=Count("pk"))
    )
    return {
        "days": [day.isoformat() for day in days],
        "used": [amount for _, amount in spending.spent_by_day(None, days=DAYS, currency="USD")],
        "received": [received.get(day, spending.ZERO) for day in days],
        "pods": [made.get(day, 0) for day in days],
        "people": [joined.get(day, 0) for day in days],
    }


def figures_json() -> dict[str, Any]:
    values = figures()
    return {
        "pods": values["pods"],
        "people": values["people"],
        "organisations": values["organisations"],
        "subscriptions": values["subscriptions"],
        "month_used": [money_json(amount, currency) for currency, amount in values["month_used"].items()],
        "month_received": money_json(values["month_received"], "USD"),
        "nodes": [{"name": node.name, "status": node.status} for node in values["nodes"]],
        "ledger_clean": not values["ledger_problems"],
    }


@require_GET
def show_staff_dashboard(request: Request) -> HttpResponse:
    require_staff(request.actor, "console")
    return render(request, "console/staff.html", figures() | {"series": series()})


def admin_dashboard(request: Request, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold asks for the values of the admin's first page."""
    return context | {"figures": figures()}
