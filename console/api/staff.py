"""The dashboard for programs, and the staff routes."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from ninja import Router, Schema
from pydantic import Field

from accounts.access import current_organisation
from accounts.requests import Request
from accounts.roles import Permission
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


router.add_router("", office)
