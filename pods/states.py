"""The life of a pod: its states, the reasons for them, and which may follow which. Pure data."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class PodStatus(models.TextChoices):
    QUEUED = "queued", _("Queued")
    SCHEDULED = "scheduled", _("Scheduled")
    PROVISIONING = "provisioning", _("Provisioning")
    RUNNING = "running", _("Running")
    RECOVERING = "recovering", _("Recovering")
    STOPPING = "stopping", _("Stopping")
    STOPPED = "stopped", _("Stopped")
    COMPLETED = "completed", _("Completed")
    FAILED = "failed", _("Failed")
    TERMINATING = "terminating", _("Terminating")
    TERMINATED = "terminated", _("Terminated")


class DesiredStatus(models.TextChoices):
    """What the customer wants; written at once, and the reconciler works towards it."""

    RUNNING = "running", _("Running")
    STOPPED = "stopped", _("Stopped")
    TERMINATED = "terminated", _("Terminated")


class Reason(models.TextChoices):
    NONE = "", ""
    REQUESTED = "requested", _("as requested")
    STARTED = "started", _("the provider accepted it")
    REACHED = "reached", _("a probe reached it")
    NODE_LOST = "node_lost", _("its node fell silent")
    INSTANCE_LOST = "instance_lost", _("the provider lost it")
    PREEMPTED = "preempted", _("the provider took it back")
    NO_CAPACITY = "no_capacity", _("no offer could be rented")
    PROVIDER_REFUSED = "provider_refused", _("the provider refused it")
    EXITED = "exited", _("its process ended normally")
    CRASHED = "crashed", _("its process failed too often")
    NO_FUNDS = "no_funds", _("the balance ran out")
    TIME_OVER = "time_over", _("its time to live ended")
    BUDGET_SPENT = "budget_spent", _("its spend cap was reached")
    LIMIT_REACHED = "limit_reached", _("a monthly spend limit was reached")
    CONFIRMED_GONE = "confirmed_gone", _("seen gone twice at the provider")
    PLATFORM_STOP = "platform_stop", _("this installation was stopped")


S = PodStatus
_ALIVE: dict[str, frozenset[str]] = {
    S.QUEUED: frozenset({S.PROVISIONING, S.SCHEDULED, S.STOPPED, S.FAILED}),
    S.SCHEDULED: frozenset({S.QUEUED, S.PROVISIONING, S.STOPPED}),
    S.PROVISIONING: frozenset({S.RUNNING, S.QUEUED, S.RECOVERING, S.STOPPING, S.COMPLETED, S.FAILED}),
    S.RUNNING: frozenset({S.RECOVERING, S.STOPPING, S.COMPLETED, S.FAILED}),
    S.RECOVERING: frozenset({S.RUNNING, S.STOPPING, S.COMPLETED, S.FAILED}),
    S.STOPPING: frozenset({S.STOPPED, S.COMPLETED, S.FAILED}),
    S.STOPPED: frozenset({S.QUEUED}),
    S.COMPLETED: frozenset({S.QUEUED}),
    S.FAILED: frozenset({S.QUEUED}),
    S.TERMINATING: frozenset({S.TERMINATED}),
    S.TERMINATED: frozenset(),
}
# A customer can end a pod in any state.
TRANSITIONS: dict[str, frozenset[str]] = {
    status: following if status in {S.TERMINATING, S.TERMINATED} else following | {S.TERMINATING}
    for status, following in _ALIVE.items()
}

HAS_INSTANCE = frozenset({S.PROVISIONING, S.RUNNING, S.RECOVERING, S.STOPPING})
RESTING = frozenset({S.STOPPED, S.COMPLETED, S.FAILED})


def is_final(status: str) -> bool:
    return not TRANSITIONS[status]


def may_follow(old: str, new: str) -> bool:
    return new in TRANSITIONS[old]
