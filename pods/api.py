"""Routes of pods: configurations, deployment, what runs, and the customer's own provider keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _
from ninja import HeaderEx, P, QueryEx, Router, Status

from accounts.access import current_organisation
from accounts.actor import Actor
from accounts.models import Organisation
from accounts.requests import Request
from accounts.roles import Permission
from lib.errors import AppError, Invalid, NotFound
from lib.lists import MAX_LIMIT, page_of
from marketplace.offers import get_offer
from pods import access, actions, configs, limits, provider_accounts, reports
from pods import deploy as deployment
from pods import schemas as s
from pods.models import LogLine, MetricSample, Placement, Pod, PodConfig, PodEvent, PodTemplate

router = Router(tags=["pods"])
MAX_LOG_LINES = 1000
MAX_SAMPLES = 2000


@router.get("config/pods/")
def list_configs(request: Request, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    return page_of(access.configs_seen_by(request.actor), limit=limit, cursor=cursor, show=s.show_config)


@router.post("config/pods/", response={201: dict[str, Any]})
def create_config(request: Request, body: s.ConfigIn) -> Status[dict[str, Any]]:
    organisation = current_organisation(request.actor, Permission.RUN_PODS)
    columns = _columns(request.actor, organisation, body)
    return Status(201, s.show_config(configs.create_config(organisation=organisation, actor=request.actor, **columns)))


@router.get("config/pods/{config_id}")
def get_config(request: Request, config_id: str) -> dict[str, Any]:
    return s.show_config(access.get_config(request.actor, config_id))


@router.patch("config/pods/{config_id}")
def change_config(request: Request, config_id: str, body: s.ConfigPatch) -> dict[str, Any]:
    config = access.get_config(request.actor, config_id, Permission.RUN_PODS)
    columns = _columns(request.actor, config.organisation, body)
    return s.show_config(configs.change_config(config, actor=request.actor, **columns))


@router.delete("config/pods/{config_id}", response={204: None})
def archive_config(request: Request, config_id: str) -> Status[None]:
    configs.archive_config(access.get_config(request.actor, config_id, Permission.RUN_PODS))
    return Status(204, None)


@router.get("deployment/configs")
def list_deployable(request: Request, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """Configurations with what stands in the way of deploying each now."""
    return page_of(access.configs_seen_by(request.actor), limit=limit, cursor=cursor, show=_show_deployable)


@router.post("deployment/estimate")
def estimate(request: Request, body: s.ChoiceIn) -> dict[str, Any]:
    found = deployment.estimate(*_choice(request.actor, body, Permission.SEE_PODS))
    return s.show_price(found.price, found.offer) | {"runway_hours": found.runway_hours}


@router.post("deployment/validate")
def validate(request: Request, body: s.ChoiceIn) -> dict[str, Any]:
    config, offer = _choice(request.actor, body, Permission.SEE_PODS)
    problems = deployment.validate(config, deployment.offer_for(config, offer))
    return {"valid": not problems, "problems": [s.show_problem(problem) for problem in problems]}


@router.post("deployment/deploy", response={201: dict[str, Any]})
def deploy(
    request: Request, body: s.DeployIn, key: HeaderEx[str, P(alias="Idempotency-Key", max_length=120)] = ""
) -> Status[dict[str, Any]]:
    """Needs the header `Idempotency-Key`: sending it again answers the same pod."""
    config, offer = _choice(request.actor, body, Permission.RUN_PODS)
    pod = deployment.deploy(
        organisation=config.organisation,
        config=config,
        offer=offer,
        actor=request.actor,
        idempotency_key=key,
        expected_price_per_hour=body.expected_price_per_hour,
    )
    return Status(201, s.show_pod_with_places(pod))


@router.post("deployment/activate/{config_id}")
def activate(request: Request, config_id: str) -> dict[str, Any]:
    """Deploy a draft, once: activating it again answers the same pod."""
    config = access.get_config(request.actor, config_id, Permission.RUN_PODS)
    pod = deployment.deploy(
        organisation=config.organisation,
        config=config,
        offer=None,
        actor=request.actor,
        idempotency_key=f"activate-{config.public_id}",
    )
    return s.show_pod_with_places(pod)


@router.get("deployment/limits")
def get_limits(request: Request) -> dict[str, Any]:
    return limits.usage(current_organisation(request.actor, Permission.SEE_PODS))


@router.get("deployment/pods")
def list_pods(request: Request, status: str = "", limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    rows = access.pods_seen_by(request.actor).select_related("offer")
    if status:
        if status not in dict(Pod._meta.get_field("status").choices or ()):
            raise Invalid(_("There is no such status."), fields={"status": [_("Unknown status.")]})
        rows = rows.filter(status=status)
    return page_of(rows, limit=limit, cursor=cursor, show=s.show_pod)


@router.get("deployment/pods/{pod_id}")
def get_pod(request: Request, pod_id: str) -> dict[str, Any]:
    return s.show_pod_with_places(access.get_pod(request.actor, pod_id))


ACTIONS: dict[str, Callable[..., Pod]] = {
    "stop": actions.stop_pod,
    "start": actions.start_pod,
    "restart": actions.restart_pod,
    "terminate": actions.terminate_pod,
    "crash": actions.crash_pod,
    "checkpoint": actions.checkpoint_pod,
    "try_next_best": actions.try_next_best,
}


@router.post("deployment/pods/{pod_id}/action")
def act(request: Request, pod_id: str, body: s.ActionIn) -> dict[str, Any]:
    """`crash` kills the process on purpose, to see it come back from its checkpoint."""
    pod = access.get_pod(request.actor, pod_id, Permission.RUN_PODS)
    return s.show_pod_with_places(ACTIONS[body.action](pod=pod, actor=request.actor))


@router.get("pods/{pod_id}/events")
def list_events(
    request: Request, pod_id: str, limit: QueryEx[int, P(ge=1, le=MAX_LIMIT)] = 100, before: int | None = None
) -> dict[str, Any]:
    """Newest first. `next` is the `before` of the following page."""
    rows = PodEvent.objects.filter(pod=access.get_pod(request.actor, pod_id)).order_by("-id")
    found = list((rows.filter(id__lt=_bigint(before)) if before is not None else rows)[:limit])
    return {"items": [s.show_event(row) for row in found], "next": found[-1].pk if len(found) == limit else None}


@router.get("pods/{pod_id}/logs")
def list_logs(
    request: Request, pod_id: str, limit: QueryEx[int, P(ge=1, le=MAX_LOG_LINES)] = 200, before: int | None = None
) -> dict[str, Any]:
    """The last lines, oldest first. `next` is the `before` of the page of earlier ones."""
    rows = LogLine.objects.filter(pod=access.get_pod(request.actor, pod_id)).order_by("-id")
    found = list((rows.filter(id__lt=_bigint(before)) if before is not None else rows)[:limit])[::-1]
    return {
        "items": [reports.line_json(row) for row in found],
        "next": found[0].pk if len(found) == limit else None,
    }


@router.get("pods/{pod_id}/metrics")
def list_metrics(request: Request, pod_id: str, limit: QueryEx[int, P(ge=1, le=MAX_SAMPLES)] = 720) -> dict[str, Any]:
    """The last samples, oldest first; one in five seconds on our own nodes, kept for a day."""
    rows = MetricSample.objects.filter(pod=access.get_pod(request.actor, pod_id)).order_by("-at")[:limit]
    return {"items": [reports.sample_json(row) for row in list(rows)[::-1]], "next": None}


@router.get("pods/{pod_id}/receipt")
def get_receipt(request: Request, pod_id: str) -> dict[str, Any]:
    """Signed receipts of the places that were seen gone twice. 404 while there is none."""
    pod = access.get_pod(request.actor, pod_id)
    rows = Placement.objects.filter(pod=pod, receipt__isnull=False).order_by("epoch", "attempt")
    found = [s.show_receipt(row) for row in rows]
    if not found:
        raise NotFound(_("There is no receipt yet: the end of this pod has not been confirmed."), code="no_receipt")
    return {"pod": pod.public_id, "status": pod.status, "receipts": found}


@router.get("provider-accounts/")
def list_provider_accounts(request: Request, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    rows = access.provider_accounts_seen_by(request.actor)
    return page_of(rows, limit=limit, cursor=cursor, show=s.show_provider_account)


@router.post("provider-accounts/", response={201: dict[str, Any]})
def add_provider_account(request: Request, body: s.ProviderAccountIn) -> Status[dict[str, Any]]:
    """The key is tried at the provider first, and kept encrypted; it is never shown again."""
    organisation = current_organisation(request.actor, Permission.MANAGE_KEYS)
    account = provider_accounts.add_account(
        organisation=organisation, provider_slug=body.provider, key=body.key, name=body.name, actor=request.actor
    )
    return Status(201, s.show_provider_account(account))


@router.get("provider-accounts/{account_id}")
def get_provider_account(request: Request, account_id: str) -> dict[str, Any]:
    return s.show_provider_account(access.get_provider_account(request.actor, account_id, Permission.SEE_PODS))


@router.patch("provider-accounts/{account_id}")
def change_provider_account(request: Request, account_id: str, body: s.ProviderAccountPatch) -> dict[str, Any]:
    account = access.get_provider_account(request.actor, account_id)
    return s.show_provider_account(
        provider_accounts.change_account(account, name=body.name, key=body.key, actor=request.actor)
    )


@router.delete("provider-accounts/{account_id}", response={204: None})
def remove_provider_account(request: Request, account_id: str) -> Status[None]:
    """Refused while pods of this account run."""
    account = access.get_provider_account(request.actor, account_id)
    provider_accounts.remove_account(account, actor=request.actor)
    return Status(204, None)


def _columns(actor: Actor, organisation: Organisation, body: s.ConfigIn) -> dict[str, Any]:
    """What was given, with ids turned into rows. Raises Invalid beside the field for an id of nothing."""
    columns = body.dict(exclude_unset=True)
    for field, find in (
        ("template", lambda slug: _template(organisation, slug)),
        ("offer", get_offer),
        ("provider_account", lambda text: _own_account(actor, organisation, text)),
    ):
        if columns.get(field) is not None:
            columns[field] = _found(field, find, columns[field])
    nullable = {"template", "offer", "provider_account", "max_price_per_hour", "spend_cap", "ttl_hours"}
    return {name: value for name, value in columns.items() if value is not None or name in nullable}


def _found(field: str, find: Callable[[str], Any], text: str) -> Any:
    try:
        return find(text)
    except NotFound as refusal:
        raise Invalid(refusal.message, fields={field: [refusal.message]}) from None


def _template(organisation: Organisation, slug: str) -> PodTemplate:
    mine = Q(organisation=None) | Q(organisation=organisation)
    template = PodTemplate.objects.filter(mine, pk=slug).first() if "\x00" not in slug else None
    if template is None:
        raise NotFound(_("There is no such template."))
    return template


def _own_account(actor: Actor, organisation: Organisation, text: str) -> Any:
    account = access.get_provider_account(actor, text, Permission.RUN_PODS)
    if account.organisation_id != organisation.pk:
        raise NotFound(_("There is no such provider account."))
    return account


def _choice(actor: Actor, body: s.ChoiceIn | s.DeployIn, permission: Permission) -> tuple[PodConfig, Any]:
    config = access.get_config(actor, body.config, permission)
    return config, _found("offer", get_offer, body.offer) if body.offer else None


def _show_deployable(config: PodConfig) -> dict[str, Any]:
    try:
        problems = deployment.validate(config, deployment.offer_for(config))
    except AppError as refusal:
        problems = [deployment.Problem("gpu_query", refusal.code, refusal.message)]
    return s.show_config(config) | {
        "deployable": not problems,
        "problems": [s.show_problem(problem) for problem in problems],
    }


def _bigint(number: int) -> int:
    """A cursor beyond what the database can hold means the same as the largest."""
    return max(0, min(number, 2**63 - 1))
