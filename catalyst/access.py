"""Which nodes an actor may see."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from accounts.access import current_organisation
from accounts.actor import Actor
from accounts.roles import Permission
from catalyst.models import Node


def nodes_seen_by(actor: Actor) -> QuerySet[Node]:
    """The organisation's own nodes and this installation's; staff see all."""
    if actor.is_staff:
        return Node.objects.filter(archived_at=None)
    organisation = current_organisation(actor, Permission.SEE_PODS)
    return Node.objects.filter(Q(organisation=organisation) | Q(organisation=None), archived_at=None)
