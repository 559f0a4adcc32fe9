"""A node with its key, and a pod that is placed on it. Models are imported inside: Django is not set up yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from catalyst.models import Node, NodePod
    from catalyst.nodes import Enrolled
    from pods.models import Pod

MACHINE = {"hostname": "m", "cpus": 4, "cpu_model": "test", "ram_bytes": 8 * 10**9, "disk_bytes": 10**11, "gpus": []}
SHARE = {"vcpus": 2.0, "ram_gb": 4.0, "disk_gb": 20.0}


@dataclass(frozen=True)
class Placed:
    pod: Pod
    node_pod: NodePod


@pytest.fixture
def enrolled(db: None) -> Enrolled:
    return enrol("one")


@pytest.fixture
def node(enrolled: Enrolled) -> Node:
    """An alive node whose lease has just been renewed."""
    return alive(enrolled.node)


def enrol(name: str) -> Enrolled:
    from catalyst.nodes import enrol, make_token

    return enrol(token=make_token(name=name, is_local=True), name=name, machine=MACHINE, share=SHARE)


def alive(node: Node) -> Node:
    from catalyst.beats import Ingest
    from catalyst.lifecycle import switch_node_status
    from catalyst.states import NodeStatus

    switch_node_status(node.pk, old=node.status, new=NodeStatus.ALIVE)
    ingest = Ingest()
    ingest.hear(node.pk, {})
    ingest.flush()
    node.refresh_from_db()
    return node


@pytest.fixture
def placed(node: Node) -> Placed:
    return place(node)


def place(node: Node, *, name: str = "job") -> Placed:
    """A running pod at epoch 1 whose placement is on this node, as the reconciler leaves it."""
    from accounts.models import Organisation
    from catalyst.models import NodePod
    from marketplace.models import Provider
    from pods.models import Mode, Payer, Placement, Pod
    from pods.states import PodStatus

    organisation = Organisation.objects.create(name=name)
    provider, _ = Provider.objects.get_or_create(slug="catalyst", defaults={"name": "Catalyst"})
    pod = Pod.objects.create(
        organisation=organisation, name=name, mode=Mode.SANDBOX, status=PodStatus.RUNNING, epoch=1, payer=Payer.CREDITS
    )
    placement = Placement(
        pod=pod,
        epoch=1,
        provider=provider,
        status=Placement.Status.LIVE,
        payer=Payer.CREDITS,
        currency="CREDIT",
        price_per_hour=0,
        provider_price_per_hour=0,
    )
    node_pod = NodePod.objects.create(
        node=node, placement_key=placement.key, pod=pod, epoch=1, slot=0, state=NodePod.State.RUNNING
    )
    placement.ref = str(node_pod.pk)
    placement.save()
    return Placed(pod, node_pod)
