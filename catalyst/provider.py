"""Catalyst as a provider: the same contract as the adapters, over our own nodes instead of a stranger's API."""

from __future__ import annotations

from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from catalyst.commands import ask
from catalyst.models import Node, NodeCommand, NodePod
from catalyst.nodes import ACTIVE_STATES, free_slots
from catalyst.offers import SLUG, list_node_offers
from catalyst.states import NodeStatus
from marketplace.providers.base import (
    Account,
    Capability,
    Instance,
    InstanceState,
    LaunchRequest,
    LogLine,
    OfferGone,
    RawOffer,
    Rejected,
)

State = NodePod.State
INSTANCE_STATES: dict[str, InstanceState] = {
    State.ASKED: "creating",
    State.STARTING: "booting",
    State.RUNNING: "running",
    State.RESTARTING: "running",
    State.EXITED: "exited",
    State.FAILED: "failed",
    State.STOPPED: "stopped",
    State.GONE: "gone",
}


class Adapter:
    """See `marketplace.providers.base.Provider`. A reference is the id of a NodePod."""

    slug = SLUG
    name = "Catalyst"
    capabilities: frozenset[Capability] = frozenset({"list", "rent", "stop", "logs", "metrics"})
    keyless_listing = True

    def __init__(self, account: Account | None = None) -> None:
        self.refused: list[str] = []

    def list_offers(self) -> list[RawOffer]:
        return list_node_offers()

    def create(self, request: LaunchRequest) -> Instance:
        """Take a slot of the node and put the start into its outbox. Raises OfferGone when the node is full or away."""
        if (there := self.find(request.key)) is not None:
            return there
        try:
            with transaction.atomic():
                return instance_of(self._place(request))
        except IntegrityError:
            raise OfferGone(_("The node was filled at the same moment.")) from None

    def _place(self, request: LaunchRequest) -> NodePod:
        node = Node.objects.select_for_update(no_key=True).filter(pk=_uuid(request.offer_ref)).first()
        if node is None or node.status != NodeStatus.ALIVE:
            raise OfferGone(_("The node is not answering at the moment."))
        slots = free_slots(node)
        if not slots:
            raise OfferGone(_("The node is full."))
        node_pod = NodePod.objects.create(
            node=node,
            placement_key=request.key,
            pod_id=_uuid(str(request.extra["pod"])),
            epoch=int(str(request.extra["epoch"])),
            slot=slots[0],
        )
        ask(node_pod, NodeCommand.Kind.START, {"image": request.image, "command": list(request.command)})
        return node_pod

    def find(self, key: str) -> Instance | None:
        node_pod = NodePod.objects.filter(placement_key=key).select_related("node").first()
        return instance_of(node_pod) if node_pod else None

    def get(self, ref: str) -> Instance:
        node_pod = NodePod.objects.filter(pk=_uuid(ref)).select_related("node").first()
        if node_pod is None:
            return Instance(ref=ref, key="", state="gone", message=_("This pod was never on a node."))
        return instance_of(node_pod)

    def list_instances(self) -> list[Instance]:
        return [instance_of(row) for row in NodePod.objects.filter(state__in=ACTIVE_STATES).select_related("node")]

    def stop(self, ref: str) -> None:
        """SIGTERM, time for a last checkpoint, and the folder is kept."""
        self._ask_to_stop(ref, "stop")

    def start(self, ref: str) -> None:
        raise Rejected(_("A stopped pod starts again as its next epoch."))

    def terminate(self, ref: str) -> None:
        """As `stop`, and the folder is removed. A pod on a dead node counts as gone when its lease has ended."""
        self._ask_to_stop(ref, "terminate")

    def signal(self, ref: str, name: str) -> None:
        """`crash`, `restart` or `checkpoint`, see the agent's protocol."""
        node_pod = self._current(ref)
        if node_pod is None or node_pod.state not in ACTIVE_STATES:
            raise Rejected(_("The pod is not running."))
        ask(node_pod, NodeCommand.Kind.SIGNAL, {"name": name})

    def logs(self, ref: str, *, after: str = "") -> list[LogLine]:
        return []  # agents push lines; there is nothing to fetch

    def _current(self, ref: str) -> NodePod | None:
        return NodePod.objects.filter(pk=_uuid(ref)).select_related("node").first()

    def _ask_to_stop(self, ref: str, mode: str) -> None:
        node_pod = self._current(ref)
        if node_pod is None or node_pod.state == State.GONE:
            return
        open_stop = NodeCommand.objects.filter(
            node_pod=node_pod, kind=NodeCommand.Kind.STOP, done_at=None, body__mode=mode
        )
        if not open_stop.exists():
            ask(node_pod, NodeCommand.Kind.STOP, {"mode": mode})


def instance_of(node_pod: NodePod) -> Instance:
    state = INSTANCE_STATES[node_pod.state]
    if node_pod.node.status == NodeStatus.DEAD and state in {"creating", "booting", "running"}:
        state = "gone"  # its lease has ended: whatever still runs there is fenced and told to stop when it returns
    return Instance(
        ref=str(node_pod.pk),
        key=node_pod.placement_key,
        state=state,
        ports={int(port): f"127.0.0.1:{host_port}" for port, host_port in node_pod.ports.items()},
        message=node_pod.message or node_pod.reason,
        started_at=node_pod.started_at,
        exit_code=node_pod.exit_code,
    )


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Rejected(_("This is not a reference of ours.")) from None
