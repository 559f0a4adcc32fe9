"""Which changes of a pod people are told about in their inbox, and in which words.

Always by a worker, after the commit: nobody waits for it, least of all a failover.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.urls import reverse
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

from notifications.inbox import notify
from pods.models import Pod
from pods.states import PodStatus, Reason
from pods.wording import say_later

S = PodStatus
FUNDS_LOW: Final = "funds_low"
OVERDUE: Final = "overdue"
# Status and reason → kind and title. What a person asked for themselves is no news to them.
NEWS: Final[dict[str, tuple[str, StrOrPromise]]] = {
    f"{S.RECOVERING}/{Reason.NODE_LOST}": ("pod.moved", _("{name} moves: its node fell silent")),
    f"{S.RECOVERING}/{Reason.INSTANCE_LOST}": ("pod.moved", _("{name} moves: its instance was lost")),
    f"{S.RECOVERING}/{Reason.PREEMPTED}": ("pod.moved", _("{name} moves: the provider took its place back")),
    f"{S.COMPLETED}/{Reason.EXITED}": ("pod.completed", _("{name} is complete")),
    f"{S.FAILED}/{Reason.CRASHED}": ("pod.failed", _("{name} failed: its process ended with an error")),
    f"{S.FAILED}/{Reason.NO_CAPACITY}": ("pod.failed", _("No free place was found for {name}")),
    f"{S.FAILED}/{Reason.PROVIDER_REFUSED}": ("pod.failed", _("No provider accepted {name}")),
    f"{S.FAILED}/{Reason.NO_FUNDS}": ("pod.no_funds", _("{name} did not start: the balance is too low")),
    f"{S.STOPPING}/{Reason.NO_FUNDS}": ("pod.no_funds", _("{name} is stopped: the balance ran out")),
    f"{S.STOPPING}/{Reason.BUDGET_SPENT}": ("pod.budget_spent", _("{name} is stopped: its spend cap was reached")),
    f"{S.STOPPING}/{Reason.LIMIT_REACHED}": (
        "pod.limit_reached",
        _("{name} is stopped: a monthly spend limit was reached"),
    ),
    f"{S.TERMINATING}/{Reason.TIME_OVER}": ("pod.time_over", _("{name} ends: its time to live is over")),
    OVERDUE: ("pod.overdue", _("{name} is not gone yet: its provider still shows it")),
    FUNDS_LOW: ("pod.funds_low", _("{name} will be stopped soon: the balance runs out")),
}


def plan(pod: Pod, news: str, message: str) -> None:
    """Have a worker tell people after the commit, if this is news."""
    if news in NEWS:
        from pods.tasks import tell_people  # the tasks import what imports this module

        tell_people.delay_on_commit(str(pod.pk), news, message)


def tell(pod_id: UUID, news: str, message: str) -> None:
    """Write it into the inbox of every member who may see the pod."""
    pod = Pod.objects.select_related("organisation").get(pk=pod_id)
    kind, title = NEWS[news]
    url = reverse("console:pod", args=[pod.public_id])
    notify(pod.organisation, kind=kind, title=format_lazy(title, name=pod.name), body=say_later(message), url=url)
