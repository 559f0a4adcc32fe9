"""How much of its plan an organisation uses."""

from __future__ import annotations

from typing import Any

from accounts.models import Organisation
from billing.plans import entitlement, require_entitlement
from lib.errors import AppError
from marketplace.models import ProviderAccount
from pods.models import Pod
from pods.states import RESTING, PodStatus

PODS = "max_running_pods"
PROVIDERS = "max_providers"


def active_pods(organisation: Organisation) -> int:
    """Pods that run or are on their way there."""
    return Pod.objects.filter(organisation=organisation).exclude(status__in=[*RESTING, PodStatus.TERMINATED]).count()


def linked_providers(organisation: Organisation) -> int:
    rows = ProviderAccount.objects.filter(organisation=organisation, archived_at=None)
    return rows.values("provider_id").distinct().count()


def refusal_of_next_pod(organisation: Organisation) -> str:
    """Why the plan does not allow one more active pod; empty when it does."""
    try:
        require_entitlement(organisation, PODS, active_pods(organisation))
    except AppError as refusal:
        return refusal.message
    return ""


def usage(organisation: Organisation) -> dict[str, dict[str, Any]]:
    """For each limit of the plan: how much is used and how much there may be (None: no limit)."""
    return {
        PODS: {"used": active_pods(organisation), "limit": entitlement(organisation, PODS)},
        PROVIDERS: {"used": linked_providers(organisation), "limit": entitlement(organisation, PROVIDERS)},
    }
