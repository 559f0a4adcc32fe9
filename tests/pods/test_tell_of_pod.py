"""Reports of nodes: states, lines, samples; each once, none from a stale epoch."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db.models import F

from accounts import actor
from accounts.models import Organisation
from lib.clock import now
from marketplace.models import Provider
from marketplace.providers.base import Instance
from pods import reports, sweeping
from pods.models import LogLine, MetricSample, Placement, Pod
from pods.states import PodStatus, Reason

NODE = actor.node(uuid4())


@pytest.fixture
def placed(renter: Organisation) -> Callable[..., Placement]:
    """A pod on one of our nodes, asked for and not running yet."""

    def make(
        status: str = PodStatus.PROVISIONING, place: str = Placement.Status.CREATING, **columns: object
    ) -> Placement:
        provider, _made = Provider.objects.get_or_create(slug="catalyst", defaults={"name": "Catalyst"})
        pod = Pod.objects.create(organisation=renter, name="job", mode="SANDBOX", status=status, epoch=1, **columns)
        return Placement.objects.create(
            pod=pod, epoch=1, provider=provider, payer="credits", price_per_hour=1, provider_price_per_hour=1,
            status=place, ref="r",
        )  # fmt: skip

    return make


def tell(row: Placement, state: str, **facts: object) -> Pod:
    instance = Instance(ref="r", key=row.key, state=state, **facts)  # type: ignore[arg-type]
    reports.instance_changed(placement=row, instance=instance, actor=NODE)
    row.refresh_from_db()
    return Pod.objects.get(pk=row.pod_id)


def test_a_node_that_says_it_runs_is_believed_when_there_is_nothing_to_knock_at(
    placed: Callable[..., Placement],
) -> None:
    row = placed()
    assert tell(row, "booting").status == PodStatus.PROVISIONING
    assert tell(row, "running").status == PodStatus.RUNNING
    assert (row.status, row.phase) == (Placement.Status.LIVE, "running")
    assert row.reached_at is not None


def test_a_pod_with_ports_runs_only_after_somebody_knocked(placed: Callable[..., Placement]) -> None:
    row = placed()
    assert tell(row, "running", ports={8000: "127.0.0.1:9"}).status == PodStatus.PROVISIONING
    assert row.ports == {"8000": "127.0.0.1:9"}
    running = Instance(ref="r", key="", state="running", ports={8000: "127.0.0.1:9"})
    reports.instance_changed(placement=row, instance=running, actor=NODE, reached=True)
    assert Pod.objects.get().status == PodStatus.RUNNING


def test_a_repeated_report_changes_nothing(placed: Callable[..., Placement]) -> None:
    row = placed()
    tell(row, "running")
    before = Pod.objects.get().version
    for _again in range(3):
        tell(row, "running")
    pod = Pod.objects.get()
    assert (pod.version, pod.events.filter(kind="status").count()) == (before, 1)


def test_a_stale_epoch_changes_nothing(placed: Callable[..., Placement]) -> None:
    row = placed(PodStatus.RUNNING, Placement.Status.LIVE)
    Pod.objects.update(epoch=2)
    for state in ("exited", "failed", "gone", "stopped", "running"):
        assert tell(row, state, exit_code=0).status == PodStatus.RUNNING
    assert row.status == Placement.Status.LIVE


@pytest.mark.parametrize(
    ("state", "exit_code", "status", "reason"),
    [
        ("exited", 0, PodStatus.COMPLETED, Reason.EXITED),
        ("exited", 3, PodStatus.FAILED, Reason.CRASHED),
        ("failed", 137, PodStatus.FAILED, Reason.CRASHED),
        ("failed", None, PodStatus.RECOVERING, Reason.INSTANCE_LOST),
        ("gone", None, PodStatus.RECOVERING, Reason.INSTANCE_LOST),
        ("stopped", None, PodStatus.RECOVERING, Reason.INSTANCE_LOST),
    ],
)
def test_how_a_running_process_ended_decides_what_becomes_of_the_pod(
    placed: Callable[..., Placement], state: str, exit_code: int | None, status: str, reason: str
) -> None:
    row = placed()
    tell(row, "running")
    pod = tell(row, state, exit_code=exit_code)
    assert (pod.status, pod.reason) == (status, reason)
    if status != PodStatus.RECOVERING:
        assert pod.exit_code == exit_code
        assert row.status == Placement.Status.ENDING, "nothing of it is left to cost anything"
    else:
        assert (row.status, pod.epoch) == (Placement.Status.LOST, 2)


def test_a_program_that_fails_at_every_place_is_not_moved_for_ever(placed: Callable[..., Placement]) -> None:
    row = placed(PodStatus.RUNNING, Placement.Status.LIVE)
    for epoch in range(1, 8):
        pod = tell(row, "failed", message="memory_limit")
        if pod.status == PodStatus.FAILED:
            break
        assert pod.epoch == epoch + 1
        row = Placement.objects.create(
            pod=pod, epoch=pod.epoch, provider=row.provider, payer="credits", price_per_hour=1,
            provider_price_per_hour=1, status=Placement.Status.LIVE, ref="r",
        )  # fmt: skip
    assert (pod.status, pod.reason) == (PodStatus.FAILED, Reason.CRASHED)
    assert pod.placements.count() == reports.MAX_FAILED_PLACES


def test_restarts_are_counted_and_told(placed: Callable[..., Placement]) -> None:
    row = placed(PodStatus.RUNNING, Placement.Status.LIVE)
    running = Instance(ref="r", key="", state="running", exit_code=137)
    for restarts in (1, 1, 2):
        reports.instance_changed(placement=row, instance=running, actor=NODE, restarts=restarts)
    pod = Pod.objects.get()
    assert pod.restarts == 2
    assert [event.data["restarts"] for event in pod.events.filter(kind="restarted").order_by("id")] == [1, 2]


def test_lines_sent_twice_are_stored_once(placed: Callable[..., Placement]) -> None:
    pod = placed().pod
    at = datetime(2026, 1, 1, tzinfo=UTC)
    lines = [(number, at, "stdout", f"step {number}\x00" + "x" * 5000) for number in range(1, 4)]
    assert reports.store_logs(pod, 1, lines) == 3
    assert reports.store_logs(pod, 1, [*lines, (4, at, "stderr", "end")]) == 4
    stored = list(LogLine.objects.order_by("number"))
    assert [line.number for line in stored] == [1, 2, 3, 4]
    assert "\x00" not in stored[0].text
    assert len(stored[0].text) == 4000
    assert reports.store_logs(pod, 2, lines[:1]) == 1, "another epoch counts anew"
    assert reports.store_logs(pod, 1, []) == 0


def test_a_sample_is_stored_and_proves_that_the_pod_runs(placed: Callable[..., Placement]) -> None:
    row = placed()
    tell(row, "running")
    Placement.objects.update(seen_at=F("seen_at") - timedelta(seconds=60))
    card = {"index": 0, "util_percent": 50.0, "vram_used_mb": 10}
    sample = {"at": now().timestamp(), "cpu_percent": 12.5, "ram_bytes": 10**9, "step": 7}
    reports.store_metric(row.pod, 1, sample | {"gpus": [card, card | {"util_percent": 100.0}]})
    stored = MetricSample.objects.get()
    assert (stored.gpu_percent, stored.vram_bytes, stored.step) == (75.0, 20 * 1024 * 1024, 7)
    row.refresh_from_db()
    assert row.seen_at is not None
    assert now() - row.seen_at < timedelta(seconds=5)


def test_old_lines_and_samples_are_pruned(placed: Callable[..., Placement], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "LOG_LINES_KEPT", 10)
    pod = placed().pod
    at = datetime(2026, 1, 1, tzinfo=UTC)
    reports.store_logs(pod, 1, [(number, at, "stdout", "x") for number in range(25)])
    reports.store_metric(pod, 1, {"at": (now() - timedelta(hours=25)).timestamp()})
    reports.store_metric(pod, 1, {"at": now().timestamp()})
    sweeping.prune()
    assert [line.number for line in LogLine.objects.order_by("number")] == list(range(15, 25))
    assert MetricSample.objects.count() == 1
