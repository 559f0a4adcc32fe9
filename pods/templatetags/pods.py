"""How a pod's status looks: colour, shape and word together."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from pods.models import Pod
from pods.states import PodStatus

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


@register.simple_tag
def pod_status(pod: Pod) -> SafeString:
    return format_html('<span class="status {}">{}</span>', TONES[PodStatus(pod.status)], pod.get_status_display())


@register.filter
def tone(status: str) -> str:
    """The class of a status, for places that hold only its value."""
    return TONES.get(PodStatus(status), "still") if status in PodStatus.values else "still"
