"""The life of a node. Pure data."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class NodeStatus(models.TextChoices):
    ENROLLED = "enrolled", _("Enrolled")
    ALIVE = "alive", _("Alive")
    SUSPECT = "suspect", _("Suspect")
    DEAD = "dead", _("Dead")
    DRAINING = "draining", _("Draining")
    RETIRED = "retired", _("Retired")


S = NodeStatus
TRANSITIONS: dict[str, frozenset[str]] = {
    S.ENROLLED: frozenset({S.ALIVE, S.RETIRED}),
    S.ALIVE: frozenset({S.SUSPECT, S.DEAD, S.DRAINING, S.RETIRED}),
    S.SUSPECT: frozenset({S.ALIVE, S.DEAD, S.RETIRED}),
    S.DEAD: frozenset({S.ALIVE, S.RETIRED}),
    S.DRAINING: frozenset({S.ALIVE, S.DEAD, S.RETIRED}),
    S.RETIRED: frozenset(),
}


def is_final(status: str) -> bool:
    return not TRANSITIONS[status]


def may_follow(old: str, new: str) -> bool:
    return new in TRANSITIONS[old]
