"""How a pod's status looks: colour, shape and word together; and its timeline in words."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from pods.models import Placement, Pod, PodEvent
from pods.states import PodStatus, Reason
from pods.wording import say

register = template.Library()
S = PodStatus
TONES = {
    S.QUEUED: "busy",
    S.SCHEDULED: "still",
    S.PROVISIONING: "busy",
    S.RUNNING: "good",
    S.RECOVERING: "warn",
    S.STOPPING: "busy",
    S.STOPPED: "still",
    S.COMPLETED: "good",
    S.FAILED: "bad",
    S.TERMINATING: "busy",
    S.TERMINATED: "still",
}
EVENTS = {
    "deployed": _("Deployed"),
    "wanted": _("Asked for"),
    "placement": _("Place"),
    "moved": _("Moved"),
    "restarted": _("Restarted"),
    "signalled": _("Signal sent"),
    "funds_low": _("Balance low"),
    "orphan_ended": _("Leftover instance ended"),
}
# What Catalyst notes for a move beside the reasons of a pod.
CAUSES = {
    "agent_shutdown": _("its node was shut down"),
    "fenced": _("its node was cut off"),
    "keeper_lost": _("its keeper on the node ended"),
    "resume_failed": _("it could not be resumed there"),
    "unknown_pod": _("its node no longer knew it"),
}


@register.simple_tag
def pod_status(pod: Pod) -> SafeString:
    return _status(pod.status)


def _status(value: str) -> SafeString:
    status = PodStatus(value)
    return format_html('<span class="status {}">{}</span>', TONES[status], status.label)


@register.filter
def status_word(status: str) -> str:
    """The word of a pod's status, for places that hold only its value."""
    return str(PodStatus(status).label)


@register.simple_tag
def event_words(event: PodEvent) -> SafeString:
    """A new status as everywhere else; any other event by its name and the status that it tells of."""
    if event.kind == "status":
        return _status(event.new_status)
    told = {"wanted": PodStatus.choices, "placement": Placement.Status.choices}.get(event.kind, [])
    status = dict(told).get(event.new_status)
    name = EVENTS.get(event.kind, event.kind)
    return format_html("<b>{}</b>: {}", name, status) if status else format_html("<b>{}</b>", name)


@register.filter
def event_message(event: PodEvent) -> str:
    return say(event.message) or reason_word(event.reason)


@register.filter
def said(text: str) -> str:
    """A sentence that a worker wrote into a row, in the reader's language."""
    return say(text)


@register.filter
def reason_word(reason: str) -> str:
    """Why a pod changed its status or moved."""
    return str(CAUSES.get(reason) or dict(Reason.choices).get(reason, reason))
