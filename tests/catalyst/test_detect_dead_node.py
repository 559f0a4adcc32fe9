"""Silence moves pods only when somebody listened, and then exactly once."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from catalyst import detector
from catalyst.beats import Ingest
from catalyst.models import BeatIngest, Failover, Node, NodePod
from catalyst.states import NodeStatus
from pods.models import Placement, Pod
from pods.states import PodStatus
from tests.catalyst.conftest import Placed, alive, enrol, place
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.django_db


def listened(seconds: float, *, fresh: float = 0.0) -> None:
    """An ingest that has listened for so long, and wrote last so many seconds ago."""
    BeatIngest.objects.all().delete()
    BeatIngest.objects.create(steady_since=Now() - timedelta(seconds=seconds), beat_at=Now() - timedelta(seconds=fresh))


def silent(node: Node, seconds: float) -> None:
    lease = timedelta(seconds=6 - seconds)
    Node.objects.filter(pk=node.pk).update(lease_until=Now() + lease, last_beat_at=Now() - timedelta(seconds=seconds))


def status_of(node: Node) -> str:
    return str(Node.objects.values_list("status", flat=True).get(pk=node.pk))


def test_half_a_lease_of_silence_is_suspect_and_moves_nothing(placed: Placed) -> None:
    listened(60)
    silent(placed.node_pod.node, 3.5)
    verdicts = detector.watch()
    assert status_of(placed.node_pod.node) == NodeStatus.SUSPECT
    assert (verdicts.dead, verdicts.moved) == ([], 0)
    assert Pod.objects.get().epoch == 1


def test_a_dead_nodes_pod_begins_its_next_epoch(placed: Placed) -> None:
    listened(60)
    silent(placed.node_pod.node, 6.5)
    assert detector.watch().moved == 1
    pod = Pod.objects.get()
    assert (pod.epoch, pod.status) == (2, PodStatus.RECOVERING)
    assert Placement.objects.get(epoch=1).status == Placement.Status.LOST
    move = Failover.objects.get()
    assert (move.from_epoch, move.to_epoch, move.from_node) == (1, 2, placed.node_pod.node)
    assert detector.watch().moved == 0, "the next look moves nothing again"


@pytest.mark.parametrize(("seconds", "fresh"), [(60.0, 5.0), (3.0, 0.0)], ids=["nobody listens now", "just started"])
def test_silence_means_nothing_while_nobody_listened(placed: Placed, seconds: float, fresh: float) -> None:
    listened(seconds, fresh=fresh)
    silent(placed.node_pod.node, 120)
    assert detector.watch().moved == 0
    assert status_of(placed.node_pod.node) == NodeStatus.ALIVE


def test_a_gap_of_ours_starts_the_time_anew(node: Node) -> None:
    ingest = Ingest()
    ingest.flush()
    BeatIngest.objects.update(steady_since=Now() - timedelta(seconds=100))
    ingest.flush()
    assert BeatIngest.objects.filter(steady_since__lt=Now() - timedelta(seconds=90)).exists()
    assert ingest.flushed_at is not None
    ingest.flushed_at -= 10  # the process stood still for ten seconds
    ingest.flush()
    old = BeatIngest.objects.filter(pk=ingest.id, steady_since__lt=Now() - timedelta(seconds=90))
    assert not old.exists()


def test_beats_that_could_not_be_written_are_kept(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest = Ingest()
    ingest.hear(node.pk, {"cpu_percent": 3.0})
    monkeypatch.setattr("catalyst.beats.FLUSH_NODES", "SELECT broken")
    with pytest.raises(Exception, match="broken"):
        ingest.flush()
    monkeypatch.undo()
    assert ingest.flush() == 1
    node.refresh_from_db()
    assert node.gauges == {"cpu_percent": 3.0}


@pytest.mark.django_db(transaction=True)
def test_many_watchers_move_a_pod_once() -> None:
    node = alive(enrol("one").node)
    place(node)
    listened(60)
    silent(node, 7)
    moved: list[int] = []

    def look() -> None:
        try:
            moved.append(detector.watch().moved)
        finally:
            connection.close()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sum(moved) == 1
    assert Pod.objects.get().epoch == 2
    assert Failover.objects.count() == 1
    assert NodePod.objects.get().epoch == 1
