"""Pods on our own nodes: paid with credits, moved when a node dies, started again as the next epoch."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from accounts.models import Organisation
from billing import ledger
from billing import usage as wallet_usage
from billing.accounts import wallet_of
from catalyst import reports
from catalyst.failover import move_pods_away
from catalyst.lifecycle import switch_node_status
from catalyst.models import Failover, Node, NodeCommand, NodePod
from catalyst.nodes import enrol, make_token
from catalyst.offers import publish_offers
from catalyst.states import NodeStatus
from lib.clock import now
from pods import actions, metering
from pods.models import Payer, Placement, Pod, PodConfig, PodTemplate
from pods.states import PodStatus, Reason
from tests.people import Person
from tests.pods.driving import age, deploy, drive, look, placement_of, story
from tests.pods.market import fund, make_provider

Configs = Callable[..., PodConfig]
MACHINE: dict[str, Any] = {"hostname": "m", "cpus": 4, "ram_bytes": 8 * 10**9, "disk_bytes": 10**11, "gpus": []}
SHARE = {"vcpus": 2.0, "ram_gb": 4.0, "disk_gb": 20.0}


@pytest.fixture
def nodes(renter: Organisation) -> list[Node]:
    """Two nodes of this installation, alive, with their offers in the market; 10 credits to spend."""
    made = []
    for name in ("local-1", "local-2"):
        node = enrol(token=make_token(name=name, is_local=True), name=name, machine=MACHINE, share=SHARE).node
        switch_node_status(node.pk, old=node.status, new=NodeStatus.ALIVE)
        made.append(node)
    make_provider("catalyst")
    publish_offers()
    fund(renter, Decimal(10), "CREDIT")
    return made


@pytest.fixture
def pod(nodes: list[Node], config_of: Configs) -> Pod:
    """The counting job, running."""
    pod = deploy(job(config_of))
    look(pod)
    tell(pod, "running")
    pod.refresh_from_db()
    assert pod.status == PodStatus.RUNNING, story(pod)
    return pod


def job(config_of: Configs, **columns: Any) -> PodConfig:
    from pods.seeds import seed

    seed()
    template = PodTemplate.objects.get(slug="count")
    fields = {"image": "", "template": template, "gpu_query": "cpu", "disk_gb": 1, "payer": Payer.CREDITS}
    return config_of(**fields, **columns)


def on_node(pod: Pod) -> NodePod:
    return NodePod.objects.select_related("node").get(pk=placement_of(pod).ref)


def tell(pod: Pod, state: str, **facts: Any) -> None:
    """What the agent that holds the pod says."""
    row = on_node(pod)
    message: Any = {
        "type": "state", "id": "1", "pod": str(pod.pk), "epoch": row.epoch, "state": state, "exit_code": None,
        "signal": None, "reason": "", "restarts": 0, "at": now().timestamp(), "ports": {}, **facts,
    }  # fmt: skip
    reports.state_told(row.node, message)


def test_the_job_is_asked_of_a_node_and_paid_in_credits(pod: Pod, renter: Organisation) -> None:
    row = placement_of(pod)
    assert (row.provider_id, row.currency, row.price_per_hour) == ("catalyst", "CREDIT", Decimal("0.02"))
    start = NodeCommand.objects.get(kind="start")
    assert start.body["command"] == ["catalyst-job:count", "--steps", "100000"]
    age(pod, 1800, "reached_at")
    metering.meter(row.pk)
    row.refresh_from_db()
    assert row.billed_amount == Decimal("0.01")
    assert ledger.available(wallet_of(renter, "CREDIT")) < 10
    assert ledger.check() == []


def test_the_pod_runs_on_the_other_node_when_its_own_dies(pod: Pod) -> None:
    lost = on_node(pod).node
    switch_node_status(lost.pk, old=NodeStatus.ALIVE, new=NodeStatus.DEAD)
    assert move_pods_away(lost, cause="node_lost") == 1
    pod.refresh_from_db()
    assert (pod.status, pod.epoch, pod.reason) == (PodStatus.RECOVERING, 2, Reason.NODE_LOST)
    look(pod)
    assert on_node(pod).node != lost
    assert placement_of(pod).epoch == 2
    tell(pod, "running")
    pod.refresh_from_db()
    assert pod.status == PodStatus.RUNNING
    moved = Failover.objects.get()
    assert (moved.from_epoch, moved.to_epoch, moved.to_node) == (1, 2, on_node(pod).node)
    assert moved.resumed_at is not None


def test_without_another_node_the_pod_waits_for_one(pod: Pod, nodes: list[Node]) -> None:
    for node in nodes:
        switch_node_status(node.pk, old=NodeStatus.ALIVE, new=NodeStatus.DEAD)
    publish_offers()
    move_pods_away(on_node(pod).node, cause="node_lost")
    look(pod)
    assert pod.status == PodStatus.RECOVERING
    assert pod.message
    other = next(node for node in nodes if node != on_node(pod).node)
    switch_node_status(other.pk, old=NodeStatus.DEAD, new=NodeStatus.ALIVE)
    publish_offers()
    look(pod)
    assert on_node(pod).node == other


def test_a_stopped_pod_starts_again_as_its_next_epoch(pod: Pod, owner: Person) -> None:
    first = on_node(pod)
    actions.stop_pod(pod=pod, actor=owner.actor)
    look(pod)
    assert pod.status == PodStatus.STOPPING
    assert NodeCommand.objects.get(kind="stop").body == {"mode": "stop"}
    tell(pod, "stopped", reason="stopped")
    pod.refresh_from_db()
    assert pod.status == PodStatus.STOPPED
    actions.start_pod(pod=pod, actor=owner.actor)
    look(pod)
    assert placement_of(pod).epoch == 2, story(pod)
    assert on_node(pod) != first
    tell(pod, "running")
    pod.refresh_from_db()
    assert pod.status == PodStatus.RUNNING
    assert pod.placements.filter(status=Placement.Status.REFUSED).count() == 0
    old = pod.placements.get(epoch=1)
    assert old.status == Placement.Status.ENDING
    assert NodeCommand.objects.filter(node_pod=first, body__mode="terminate").exists()


def test_a_finished_job_is_complete_and_its_folder_is_asked_to_go(pod: Pod) -> None:
    tell(pod, "exited", exit_code=0, reason="completed")
    pod.refresh_from_db()
    assert (pod.status, pod.exit_code) == (PodStatus.COMPLETED, 0)
    look(pod)
    assert NodeCommand.objects.filter(kind="stop", body__mode="terminate").exists()
    tell(pod, "gone", reason="terminated")
    look(pod)
    age(pod, 5, "seen_gone_at")
    look(pod)
    assert placement_of(pod).status == Placement.Status.GONE
    assert placement_of(pod).receipt is not None


def test_restarts_on_the_node_are_counted(pod: Pod) -> None:
    tell(pod, "restarting", reason="crashed", restarts=1, exit_code=-9)
    tell(pod, "running", restarts=1)
    pod.refresh_from_db()
    assert (pod.restarts, pod.status) == (1, PodStatus.RUNNING)
    assert pod.events.filter(kind="restarted").count() == 1


def test_the_operator_of_a_node_is_known_to_the_bill(nodes: list[Node], config_of: Configs) -> None:
    operator = Organisation.objects.create(name="Operator")
    Node.objects.update(organisation=operator)
    publish_offers()
    pod = deploy(job(config_of))
    look(pod)
    assert placement_of(pod).operator == operator


def test_a_crash_is_drilled_on_the_node(pod: Pod, owner: Person) -> None:
    answer = owner.api("post", f"deployment/pods/{pod.public_id}/action", {"action": "crash"})
    assert answer.status_code == 200, answer.content
    assert NodeCommand.objects.get(kind="signal").body == {"name": "crash"}
    assert pod.events.filter(kind="signalled").exists()


def test_an_installation_that_is_stopped_resumes_its_pods_as_the_next_epoch(pod: Pod) -> None:
    tell(pod, "stopped", reason="agent_shutdown")
    pod.refresh_from_db()
    assert (pod.status, pod.reason, pod.epoch) == (PodStatus.RECOVERING, Reason.PLATFORM_STOP, 2)
    row = pod.placements.get(epoch=1)
    assert row.status == Placement.Status.LOST
    before = row.billed_seconds
    metering.meter(row.pk)
    row.refresh_from_db()
    assert row.meter_due_at is None
    assert row.billed_seconds - before <= 1


def test_a_node_that_refuses_the_start_is_left_for_the_other(nodes: list[Node], config_of: Configs) -> None:
    pod = deploy(job(config_of))
    look(pod)
    first = on_node(pod)
    command = NodeCommand.objects.get(node_pod=first)
    reports.command_done(first.node, str(command.pk), ok=False, code="runtime_unavailable", message="no runtime")
    drive(pod, lambda row: placement_of(row).epoch == 2 and bool(placement_of(row).ref))
    assert on_node(pod).node != first.node
    assert "no runtime" in pod.placements.get(epoch=1).error


def test_no_credits_no_pod(nodes: list[Node], config_of: Configs, renter: Organisation) -> None:
    pod = deploy(job(config_of))
    wallet = wallet_of(renter, "CREDIT")
    wallet_usage.reserve(
        renter, payer="credits", currency="CREDIT", amount=ledger.available(wallet), source_id=pod.pk, hold_id=uuid4()
    )
    look(pod)
    assert (pod.status, pod.reason) == (PodStatus.FAILED, Reason.NO_FUNDS)
    assert not NodePod.objects.exists()
    assert not pod.placements.exists()
