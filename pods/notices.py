"""Which changes of a pod people are told about in their inbox, and in which words."""

from __future__ import annotations

from typing import Final

from django.urls import reverse
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from notifications.inbox import notify
from pods.models import Pod
from pods.states import PodStatus, Reason

S = PodStatus
# (new status, reason) → kind and title. What a person asked for themselves is no news to them.
CHANGES: Final[dict[tuple[str, str], tuple[str, StrOrPromise]]] = {
    (S.RECOVERING, Reason.NODE_LOST): ("pod.moved", _("{name} moves: its node fell silent")),
    (S.RECOVERING, Reason.INSTANCE_LOST): ("pod.moved", _("{name} moves: its instance was lost")),
    (S.RECOVERING, Reason.PREEMPTED): ("pod.moved", _("{name} moves: the provider took its place back")),
    (S.COMPLETED, Reason.EXITED): ("pod.completed", _("{name} is complete")),
    (S.FAILED, Reason.CRASHED): ("pod.failed", _("{name} failed: its process ended with an error")),
    (S.FAILED, Reason.NO_CAPACITY): ("pod.failed", _("{name} found no place")),
    (S.FAILED, Reason.PROVIDER_REFUSED): ("pod.failed", _("{name} found no place that took it")),
    (S.FAILED, Reason.NO_FUNDS): ("pod.no_funds", _("{name} did not start: the balance is too low")),
    (S.STOPPING, Reason.NO_FUNDS): ("pod.no_funds", _("{name} is stopped: the balance ran out")),
    (S.STOPPING, Reason.BUDGET_SPENT): ("pod.budget_spent", _("{name} is stopped: its spend cap was reached")),
    (S.TERMINATING, Reason.TIME_OVER): ("pod.time_over", _("{name} ends: its time to live is over")),
}


def tell_change(pod: Pod) -> None:
    """Tell the members of the pod's organisation, if this status and reason are news."""
    if (found := CHANGES.get((pod.status, pod.reason))) is not None:
        kind, title = found
        _tell(pod, kind, title)


def tell_funds_low(pod: Pod, message: str) -> None:
    _tell(pod, "pod.funds_low", _("{name} will be stopped soon: the balance runs out"), message)


def _tell(pod: Pod, kind: str, title: StrOrPromise, body: str = "") -> None:
    url = reverse("console:pod", args=[pod.public_id])
    notify(pod.organisation, kind=kind, title=format_lazy(title, name=pod.name), body=body or pod.message, url=url)
