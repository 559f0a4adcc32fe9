"""What each plan allows, enforced here and nowhere else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Organisation
from billing.models import Plan, Subscription
from billing.states import SubscriptionStatus
from lib.clock import now
from lib.errors import Forbidden, NotFound

FREE = "free"
# Longer than the schedule of failed renewals, which ends a subscription; this is for when nobody works on it.
GRACE = timedelta(days=9)
# Numbers are upper bounds (None: no bound), booleans are features. A plan says something about each of them.
ENTITLEMENTS: dict[str, Any] = {
    "max_providers": gettext_lazy("provider accounts"),
    "max_running_pods": gettext_lazy("running pods"),
    "members": gettext_lazy("members"),
    "api_keys": gettext_lazy("API keys"),
    "notifications": gettext_lazy("notifications"),
    "templates": gettext_lazy("own templates"),
    "automation": gettext_lazy("automation"),
    "advanced_automation": gettext_lazy("advanced automation"),
}


class PlanLimit(Forbidden):
    """The plan does not include this, or not so much of it."""

    code = "plan_limit"


def current_subscription(organisation: Organisation) -> Subscription | None:
    return paid_now().filter(organisation=organisation).select_related("plan", "next_plan").first()


def paid_now() -> QuerySet[Subscription]:
    """Of everybody. What a service renews holds on while its renewal is collected, or tried again."""
    renewed = ~Q(service="") & Q(cancel_at_period_end=False, period_end__gt=now() - GRACE)
    holds = Q(status=SubscriptionStatus.ACTIVE, period_end__gt=now())
    live = Q(status__in=(SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE)) & renewed
    return Subscription.objects.filter(holds | live)


def current_plan(organisation: Organisation) -> Plan:
    """The plan paid for now; without one, Free."""
    subscription = current_subscription(organisation)
    return subscription.plan if subscription else Plan.objects.get(pk=FREE)


def public_plans() -> list[Plan]:
    return list(Plan.objects.filter(is_public=True))


def find_plan(slug: str) -> Plan:
    """A plan that can be chosen. Raises 404."""
    plan = Plan.objects.filter(pk=slug, is_public=True).first()
    if plan is None:
        raise NotFound(_("There is no plan “%s”.") % slug[:32])
    return plan


def entitlement(organisation: Organisation, name: str) -> Any:
    """What the organisation's plan says about `name`. Raises KeyError for a name that no plan knows."""
    return current_plan(organisation).entitlements[name]


def require_entitlement(organisation: Organisation, name: str, used: int = 0) -> None:
    """Raise PlanLimit (403) unless the plan includes the feature, or one more than `used`."""
    plan = current_plan(organisation)
    allowed = plan.entitlements[name]
    if allowed is None or allowed is True:
        return
    if allowed is False:
        raise PlanLimit(
            _("The %(plan)s plan does not include this: %(what)s.") % {"plan": plan.name, "what": ENTITLEMENTS[name]}
        )
    if used >= allowed:
        raise PlanLimit(
            _("The limit of the %(plan)s plan is reached (%(what)s: %(allowed)d). A larger plan allows more.")
            % {"plan": plan.name, "allowed": allowed, "what": ENTITLEMENTS[name]}
        )
