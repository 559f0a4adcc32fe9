"""The customer's pages: dashboard, pods, one pod, and a page of its own for each act that asks to be confirmed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods
from django_stubs_ext import StrOrPromise

from accounts.access import current_organisation, permissions_of
from accounts.actor import Actor
from accounts.requests import Request
from accounts.roles import Permission
from billing.plans import current_plan
from console import overview, podpage, spending
from lib.errors import AppError, NotFound
from pods import actions
from pods.access import get_pod
from pods.models import LogLine, Pod
from pods.states import PodStatus

PAGE_ROWS = 25
DASHBOARD_SOCKET = "/ws/dashboard/"


@require_GET
def show_dashboard(request: Request) -> HttpResponse:
    if request.actor.is_staff and request.actor.organisation_id is None:
        return redirect("admin:index")  # they sign in at the same door as customers, and have no pods
    organisation = current_organisation(request.actor, Permission.SEE_PODS)
    context = {
        "quick": overview.quick_figures(organisation, request.actor),
        "pods": overview.pods_of(organisation, status="active")[:8],
        "has_any": Pod.objects.filter(organisation=organisation).exists(),
        "activity": overview.activity_of(organisation),
        "providers": overview.provider_health(),
        "plan": current_plan(organisation),
        "days": spending.spent_by_day(organisation, days=30, currency="USD"),
        "live_path": DASHBOARD_SOCKET,
    }
    template = "console/_dashboard.html" if request.htmx else "console/dashboard.html"
    return render(request, template, context)


@require_GET
def show_pods(request: Request) -> HttpResponse:
    organisation = current_organisation(request.actor, Permission.SEE_PODS)
    status = request.GET.get("status", "active")
    if status not in {"active", "all", *PodStatus.values}:
        status = "active"
    search = request.GET.get("q", "")[:63]
    rows = overview.pods_of(organisation, status="" if status == "all" else status, search=search)
    context = {
        "page": Paginator(rows, PAGE_ROWS).get_page(request.GET.get("page")),
        "status": status,
        "search": search,
        "statuses": [("active", _("All active pods")), ("all", _("All")), *PodStatus.choices],
        "live_path": DASHBOARD_SOCKET,
        "has_any": bool(rows) or Pod.objects.filter(organisation=organisation).exists(),
    }
    template = "console/_pods.html" if request.htmx else "console/pods.html"
    return render(request, template, context)


@require_GET
def show_pod(request: Request, pod_id: str) -> HttpResponse:
    pod = get_pod(request.actor, pod_id, Permission.SEE_PODS)
    granted = permissions_of(request.actor, pod.organisation_id)
    context = podpage.describe(pod) | {"may_run": Permission.RUN_PODS in granted}
    tab = request.GET.get("tab", "logs")
    context["tab"] = tab if tab in podpage.TABS else "logs"
    context["live_path"] = f"/ws/pods/{pod.public_id}/"
    template = "console/_pod.html" if request.htmx else "console/pod.html"
    return render(request, template, context)


@require_GET
def show_pod_tab(request: Request, pod_id: str, tab: str) -> HttpResponse:
    """One tab of the pod page as a fragment."""
    pod = get_pod(request.actor, pod_id, Permission.SEE_PODS)
    if tab not in podpage.TABS:
        raise NotFound(_("There is no such tab."))
    return render(request, f"console/_pod_{tab}.html", podpage.tab_context(pod, tab))


@require_GET
def download_logs(request: Request, pod_id: str) -> HttpResponse:
    pod = get_pod(request.actor, pod_id, Permission.SEE_PODS)
    lines = LogLine.objects.filter(pod=pod).order_by("epoch", "number").iterator(chunk_size=2000)
    text = "".join(f"{line.at:%Y-%m-%dT%H:%M:%S.%f}Z {line.text}\n" for line in lines)
    answer = HttpResponse(text, content_type="text/plain; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{pod.name}.log"'
    return answer


@dataclass(frozen=True)
class Act:
    """A thing that can be done to a pod: its words, whether it asks first, and the verb that does it."""

    verb: Callable[..., Pod]
    label: StrOrPromise
    title: StrOrPromise
    done: StrOrPromise
    danger: bool = False


ACTS = {
    "stop": Act(
        actions.stop_pod, gettext_lazy("Stop"), gettext_lazy("Stop this pod?"), gettext_lazy("The pod is stopping.")
    ),
    "start": Act(
        actions.start_pod, gettext_lazy("Start"), gettext_lazy("Start this pod again?"), gettext_lazy("It starts.")
    ),
    "restart": Act(
        actions.restart_pod,
        gettext_lazy("Restart"),
        gettext_lazy("Restart the process?"),
        gettext_lazy("The process restarts."),
    ),
    "crash": Act(
        actions.crash_pod,
        gettext_lazy("Kill its process"),
        gettext_lazy("Kill the process, to see it come back?"),
        gettext_lazy("The process was killed. It comes back from its newest checkpoint."),
    ),
    "try-next": Act(
        actions.try_next_best,
        gettext_lazy("Try next best"),
        gettext_lazy("Look for another offer?"),
        gettext_lazy("Looking for another offer."),
    ),
    "terminate": Act(
        actions.terminate_pod,
        gettext_lazy("Terminate"),
        gettext_lazy("Terminate this pod for good?"),
        gettext_lazy("The pod is being terminated."),
        danger=True,
    ),
}


@require_http_methods(["GET", "POST"])
def act_on_pod(request: Request, pod_id: str, act: str) -> HttpResponse:
    """GET asks and says what will be lost; POST does it."""
    pod = get_pod(request.actor, pod_id, Permission.RUN_PODS)
    chosen = ACTS.get(act)
    if chosen is None:
        raise NotFound(_("There is no such action."))
    context = podpage.describe(pod) | {"act": act, "chosen": chosen, "problem": ""}
    if request.method == "POST":
        context["problem"] = _do(request, pod, chosen, act)
        if not context["problem"]:
            return redirect("console:pod", pod.public_id)
    status = 409 if context["problem"] else 200
    return render(request, "console/confirm.html", context, status=status)


def _do(request: Request, pod: Pod, chosen: Act, act: str) -> str:
    """The reason why it was not done, or nothing."""
    if act == "terminate" and request.POST.get("name", "").strip() != pod.name:
        return _("Type the pod's name as written above.")
    try:
        actor: Actor = request.actor
        chosen.verb(pod=pod, actor=actor)
    except AppError as refusal:
        return refusal.message
    messages.success(request, chosen.done)
    return ""


@require_GET
def show_activity(request: Request) -> HttpResponse:
    organisation = current_organisation(request.actor, Permission.SEE_PODS)
    page = Paginator(overview.events_of(organisation), 50).get_page(request.GET.get("page"))
    return render(request, "console/activity.html", {"page": page})
