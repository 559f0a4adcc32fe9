"""Which nodes an actor may see."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from accounts.access import current_organisation, require, require_signed_in
from accounts.actor import Actor
from accounts.roles import Permission
from catalyst.models import Node
from lib.errors import NotFound
from lib.ids import decode_id


def nodes_seen_by(actor: Actor) -> QuerySet[Node]:
    """The organisation's own nodes and this installation's; staff see all."""
    if actor.is_staff:
        return Node.objects.filter(archived_at=None)
    organisation = current_organisation(actor, Permission.SEE_PODS)
    return Node.objects.filter(Q(organisation=organisation) | Q(organisation=None), archived_at=None)


def get_own_node(actor: Actor, public_id: str, permission: Permission) -> Node:
    """A node of an organisation. 404 for those of others and of the installation, 403 when the role lacks the permission."""
    require_signed_in(actor)
    node = Node.objects.select_related("organisation").filter(pk=decode_id("nod", public_id), archived_at=None).first()
    if node is None or node.organisation_id is None:
        raise NotFound(_("This does not exist, or it is not yours."))
    require(actor, permission, node.organisation_id)
    return node
