"""The dashboard for programs, and the staff routes."""

from __future__ import annotations

from typing import Any

from django.db.models import Sum
from django.utils.translation import gettext as _
from ninja import Router, Schema
from pydantic import Field

from accounts.access import current_organisation
from accounts.models import Organisation, User
from accounts.requests import Request
from accounts.roles import Permission
from billing import receipts
from billing.models import Account, Payment, Subscription, Transfer
from console import overview, spending, staff
from console.access import require_staff
from lib.errors import NotFound
from lib.ids import decode_id
from lib.lists import page_of
from lib.money import money_json
from pods import actions
from pods.models import MetricSample, Pod

router = Router(tags=["dashboard"])
office = Router(tags=["staff"])


@router.get("dashboard/")
def get_dashboard(request: Request) -> dict[str, Any]:
    organisation = current_organisation(request.actor, Permission.SEE_PODS)
    return overview.overview_json(organisation, request.actor)


@router.get("dashboard/pods")
def get_dashboard_pods(request: Request, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    organisation = current_organisation(request.actor, Permission.SEE_PODS)
    return page_of(overview.pods_of(organisation), limit=limit, cursor=cursor, show=_show_pod_row)


@router.get("dashboard/providers/health")
def get_provider_health(request: Request) -> list[dict[str, Any]]:
    current_organisation(request.actor, Permission.SEE_PODS)
    return [
        {
            "provider": provider.slug,
            "name": provider.name,
            "health": provider.health,
            "last_success_at": provider.last_success_at,
            "offers": provider.offers_seen,
            "refused_rows": provider.refused_rows,
            "error": provider.last_error,
        }
        for provider in overview.provider_health()
    ]


@router.get("dashboard/activity")
def get_activity(request: Request, limit: int = 50) -> dict[str, Any]:
    organisation = current_organisation(request.actor, Permission.SEE_PODS)
    rows = overview.activity_of(organisation, limit=max(1, min(limit, 200)))
    return {
        "items": [
            {
                "at": event.at,
                "pod": event.pod.public_id,
                "kind": event.kind,
                "status": event.new_status,
                "reason": event.reason,
                "message": event.message,
            }
            for event in rows
        ],
        "next": None,
    }


def _show_pod_row(pod: Any) -> dict[str, Any]:
    return {
        "id": pod.public_id,
        "name": pod.name,
        "status": pod.status,
        "desired_status": pod.desired_status,
        "provider": pod.place,
        "gpu": pod.place_gpu,
        "price_per_hour": money_json(pod.now_price, pod.now_currency) if pod.now_price is not None else None,
        "so_far": money_json(pod.so_far or spending.ZERO, pod.now_currency or "USD"),
        "created_at": pod.created_at,
    }


class PodIn(Schema):
    pod_id: str = Field(max_length=40)


class ReceiptIn(Schema):
    payment_id: str = Field(max_length=40)


@office.get("admin/dashboard")
def get_staff_dashboard(request: Request) -> dict[str, Any]:
    require_staff(request.actor, "console")
    return staff.figures_json()


@office.get("admin/pods")
def list_all_pods(request: Request, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    require_staff(request.actor, "pods")
    rows = Pod.objects.select_related("organisation")
    return page_of(rows, limit=limit, cursor=cursor, show=_show_staff_pod)


@office.post("admin/pod/destroy")
def destroy_pod(request: Request, body: PodIn) -> dict[str, Any]:
    actor = require_staff(request.actor, "pods", change=True)
    return _show_staff_pod(actions.terminate_pod(pod=_pod(body.pod_id), actor=actor))


@office.post("admin/pod/start")
def start_pod(request: Request, body: PodIn) -> dict[str, Any]:
    actor = require_staff(request.actor, "pods", change=True)
    return _show_staff_pod(actions.start_pod(pod=_pod(body.pod_id), actor=actor))


@office.get("admin/pod/{pod_id}/metrics")
def get_pod_metrics(request: Request, pod_id: str) -> dict[str, Any]:
    require_staff(request.actor, "pods")
    rows = MetricSample.objects.filter(pod=_pod(pod_id)).order_by("-at")[:720]
    return {
        "items": [
            {"at": row.at, "cpu_percent": row.cpu_percent, "ram_bytes": row.ram_bytes, "step": row.step} for row in rows
        ]
    }


@office.get("admin/costs")
def get_costs(request: Request) -> dict[str, Any]:
    """What was used this month, by currency, and what we owe providers."""
    require_staff(request.actor, "billing")
    spent = spending.spent_since(None, spending.month_start())
    owed = (
        Account.objects.filter(kind=Account.Kind.PROVIDER_COST)
        .values_list("currency")
        .annotate(total=Sum("credits_posted") - Sum("debits_posted"))
    )
    return {
        "month": [money_json(amount, currency) for currency, amount in spent.items()],
        "owed_to_providers": [money_json(amount, currency) for currency, amount in owed],
    }


@office.get("admin/customers")
def list_customers(request: Request, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    require_staff(request.actor, "accounts")
    return page_of(User.objects.filter(is_staff=False), limit=limit, cursor=cursor, show=_show_customer)


@office.get("admin/customer/{email}")
def get_customer(request: Request, email: str) -> dict[str, Any]:
    require_staff(request.actor, "accounts")
    person = User.objects.filter(email__iexact=email).first()
    if person is None:
        raise NotFound(_("Nobody has this address."))
    organisations = Organisation.objects.filter(memberships__user=person)
    pods = Pod.objects.filter(organisation__in=organisations)
    return _show_customer(person) | {
        "organisations": [{"id": row.public_id, "name": row.name} for row in organisations],
        "pods": pods.count(),
    }


@office.get("admin/billing")
def get_billing(request: Request) -> dict[str, Any]:
    require_staff(request.actor, "billing")
    paid = Payment.objects.filter(status="captured")
    totals = paid.values_list("currency").annotate(total=Sum("amount"))
    return {
        "subscriptions": Subscription.objects.filter(status="active").count(),
        "payments": paid.count(),
        "received": [money_json(amount, currency) for currency, amount in totals],
    }


@office.get("admin/transaction/{uuid:tx_id}")
def get_transaction(request: Request, tx_id: Any) -> dict[str, Any]:
    require_staff(request.actor, "billing")
    row = Transfer.objects.select_related("debit_account", "credit_account").filter(pk=tx_id).first()
    if row is None:
        raise NotFound(_("There is no such transfer."))
    return {
        "id": str(row.pk),
        "debit": str(row.debit_account),
        "credit": str(row.credit_account),
        "amount": money_json(row.amount, row.currency),
        "state": row.state,
        "source": {"type": row.source_type, "id": row.source_id},
        "memo": row.memo,
        "created_at": row.created_at,
    }


@office.post("admin/resend-receipt")
def resend_receipt(request: Request, body: ReceiptIn) -> dict[str, Any]:
    require_staff(request.actor, "billing", change=True)
    payment = Payment.objects.filter(pk=decode_id("pay", body.payment_id), status="captured").first()
    if payment is None:
        raise NotFound(_("There is no such paid payment."))
    receipts.send_receipt(payment)
    return {"sent": True}


def _pod(pod_id: str) -> Pod:
    pod = Pod.objects.filter(pk=decode_id("pod", pod_id)).first()
    if pod is None:
        raise NotFound(_("There is no such pod."))
    return pod


def _show_staff_pod(pod: Pod) -> dict[str, Any]:
    return {
        "id": pod.public_id,
        "name": pod.name,
        "organisation": pod.organisation.public_id,
        "status": pod.status,
        "desired_status": pod.desired_status,
        "reason": pod.reason,
        "created_at": pod.created_at,
    }


def _show_customer(person: User) -> dict[str, Any]:
    return {
        "id": person.public_id,
        "email": person.email,
        "name": person.name,
        "country": person.country,
        "joined": person.date_joined,
    }


router.add_router("", office)
