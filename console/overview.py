"""The customer's dashboard: quick figures, pods, billing, activity, providers. Only reading."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery, Sum

from accounts.access import permissions_of
from accounts.actor import Actor
from accounts.calls import calls_this_month
from accounts.models import Organisation
from accounts.roles import Permission
from billing import wallet
from billing.plans import current_plan
from catalyst.models import Failover
from console import spending
from lib.clock import now
from lib.money import money_json
from marketplace.models import Provider
from pods.models import Placement, Pod, PodEvent
from pods.states import HAS_INSTANCE, PodStatus

ACTIVITY_ROWS = 12


@dataclass(frozen=True, slots=True)
class Quick:
    running: int
    starting: int
    burn: spending.Burn
    month_usd: Decimal
    month_credits: Decimal
    balances: dict[str, Decimal]
    runway_s: float | None
    calls: int
    moved_today: int
    sees_billing: bool


def quick_figures(organisation: Organisation, actor: Actor) -> Quick:
    pods = Pod.objects.filter(organisation=organisation, archived_at=None)
    burn = spending.burn_of(organisation)
    spent = spending.spent_since(organisation, spending.month_start())
    balances = wallet.balances(organisation)
    day = now().replace(hour=0, minute=0, second=0, microsecond=0)
    return Quick(
        running=pods.filter(status=PodStatus.RUNNING).count(),
        starting=pods.filter(status__in=HAS_INSTANCE | {PodStatus.QUEUED}).exclude(status=PodStatus.RUNNING).count(),
        burn=burn,
        month_usd=spent.get("USD", Decimal(0)),
        month_credits=spent.get("CREDIT", Decimal(0)),
        balances=balances,
        runway_s=_runway(balances, burn),
        calls=calls_this_month(organisation.pk),
        moved_today=Failover.objects.filter(pod__organisation=organisation, detected_at__gte=day).count(),
        sees_billing=Permission.SEE_BILLING in permissions_of(actor, organisation.pk),
    )


def _runway(balances: dict[str, Decimal], burn: spending.Burn) -> float | None:
    """Seconds until the first of the two balances is empty at the present burn; none when nothing burns."""
    pairs = ((balances.get("USD", Decimal(0)), burn.usd), (balances.get("CREDIT", Decimal(0)), burn.credits))
    times = [float(balance / rate * 3600) for balance, rate in pairs if rate > 0]
    return min(times) if times else None


def pods_of(organisation: Organisation, *, status: str = "", search: str = "") -> QuerySet[Pod]:
    """Pods with the price, place and cost that a list shows, newest first. One query for all rows."""
    current = Placement.objects.filter(pod=OuterRef("pk")).order_by("-epoch", "-attempt")
    costs = Placement.objects.filter(pod=OuterRef("pk")).order_by().values("pod").annotate(sum=Sum("billed_amount"))
    rows = Pod.objects.filter(organisation=organisation, archived_at=None).annotate(
        now_price=Subquery(current.values("price_per_hour")[:1]),
        now_currency=Subquery(current.values("currency")[:1]),
        place=Subquery(current.values("provider__name")[:1]),
        place_region=Subquery(current.values("region")[:1]),
        place_gpu=Subquery(current.values("gpu_name")[:1]),
        so_far=Subquery(costs.values("sum")[:1]),
    )
    if status == "active":
        rows = rows.exclude(status__in=[PodStatus.TERMINATED, PodStatus.COMPLETED])
    elif status:
        rows = rows.filter(status=status)
    if search:
        rows = rows.filter(name__icontains=search)
    return rows.order_by("-pk")


def activity_of(organisation: Organisation, *, limit: int = ACTIVITY_ROWS) -> list[PodEvent]:
    return list(events_of(organisation)[:limit])


def events_of(organisation: Organisation) -> QuerySet[PodEvent]:
    """What happened to pods; the steps of their places stand on the pods' own pages."""
    rows = PodEvent.objects.filter(pod__organisation=organisation).exclude(kind="placement")
    return rows.select_related("pod").order_by("-id")


def provider_health() -> list[Provider]:
    """Providers that are asked for live offers, in the order of their names."""
    return list(Provider.objects.filter(enabled=True).exclude(last_attempt_at=None).order_by("name"))


def overview_json(organisation: Organisation, actor: Actor) -> dict[str, Any]:
    quick = quick_figures(organisation, actor)
    answer: dict[str, Any] = {
        "pods": {"running": quick.running, "starting": quick.starting, "moved_today": quick.moved_today},
        "api_calls": quick.calls,
        "plan": current_plan(organisation).slug,
    }
    if quick.sees_billing:
        answer["burn_per_hour"] = [money_json(quick.burn.usd, "USD"), money_json(quick.burn.credits, "CREDIT")]
        answer["month"] = [money_json(quick.month_usd, "USD"), money_json(quick.month_credits, "CREDIT")]
        answer["balances"] = [money_json(amount, currency) for currency, amount in quick.balances.items()]
        answer["runway_seconds"] = quick.runway_s
    return answer
