"""From a configuration to a running pod and back, at providers over real HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db.models import F

from billing import ledger
from billing import usage as wallet_usage
from billing.wallet import balance
from lib.clock import now
from pods import actions, metering, receipts
from pods.models import Placement, Pod, PodConfig
from pods.states import DesiredStatus, PodStatus
from tests.pods.driving import Bench, age, deploy, drive, look, placement_of, story
from tests.pods.market import cheapest

Benches = Callable[..., Bench]
Configs = Callable[..., PodConfig]
renting = pytest.mark.parametrize("slug", ["vast", "runpod"])


@renting
def test_a_pod_runs_when_a_probe_reached_it(slug: str, bench: Benches, config_of: Configs) -> None:
    desk = bench(slug)
    pod = drive(deploy(config_of(), cheapest(slug, gpu_id="rtx-4090")), PodStatus.RUNNING)
    row = placement_of(pod)
    assert (row.status, row.provider_id, row.epoch) == (Placement.Status.LIVE, slug, 1)
    assert row.ref
    assert row.created_at is not None
    assert row.reached_at is not None
    assert row.created_at <= row.reached_at
    assert pod.first_running_at is not None
    assert [instance["state"] for instance in desk.living()] == ["running"]
    kinds = [event.new_status for event in pod.events.filter(kind="status").order_by("id")]
    assert kinds == ["provisioning", "running"]


@renting
def test_terminated_means_seen_gone_twice_and_leaves_a_receipt(slug: str, bench: Benches, config_of: Configs) -> None:
    desk = bench(slug)
    pod = drive(deploy(config_of(), cheapest(slug, gpu_id="rtx-4090")), PodStatus.RUNNING)
    age(pod, 100, "reached_at")
    actions.terminate_pod(pod=pod, actor=_owner(pod))
    drive(pod, lambda row: placement_of(row).seen_gone == 1)
    assert pod.status == PodStatus.TERMINATING
    assert desk.living() == []
    look(pod)
    assert pod.status == PodStatus.TERMINATING, "two looks at the same moment are one look"
    age(pod, 5, "seen_gone_at")
    drive(pod, PodStatus.TERMINATED)
    receipt = placement_of(pod).receipt
    assert receipt is not None
    assert receipts.verify(receipt)
    facts = receipt["facts"]
    assert facts["billed_seconds"] >= 100
    assert len(facts["seen_gone_at"]) == 2
    assert balance(pod.organisation, "USD").held == 0
    assert ledger.check() == []
    forged = receipt | {"facts": facts | {"billed_seconds": 1}}
    assert not receipts.verify(forged)


def test_a_stopped_pod_keeps_its_disk_and_runs_again(bench: Benches, config_of: Configs) -> None:
    desk = bench("vast")
    pod = drive(deploy(config_of(), cheapest("vast", gpu_id="rtx-4090")), PodStatus.RUNNING)
    age(pod, 60, "reached_at")
    actions.stop_pod(pod=pod, actor=_owner(pod))
    drive(pod, PodStatus.STOPPED)
    row = placement_of(pod)
    assert row.status == Placement.Status.STOPPED
    assert [instance["state"] for instance in desk.living()] == ["stopped"]
    metering.meter(row.pk)
    row.refresh_from_db()
    before = row.billed_seconds
    assert before >= 60
    assert balance(pod.organisation, "USD").held == 0

    actions.start_pod(pod=pod, actor=_owner(pod))
    drive(pod, PodStatus.RUNNING)
    again = placement_of(pod)
    assert again.pk == row.pk, "the same instance"
    assert again.earlier_seconds == before
    age(pod, 30, "reached_at")
    look(pod)
    metering.meter(again.pk)
    again.refresh_from_db()
    assert 30 <= again.billed_seconds - before < 40


def test_a_kept_pod_that_cannot_be_paid_stays_stopped_and_keeps_its_disk(bench: Benches, config_of: Configs) -> None:
    desk = bench("vast")
    pod = drive(deploy(config_of(), cheapest("vast", gpu_id="rtx-4090")), PodStatus.RUNNING)
    actions.stop_pod(pod=pod, actor=_owner(pod))
    drive(pod, PodStatus.STOPPED)
    metering.meter(placement_of(pod).pk)
    left = balance(pod.organisation, "USD").available
    wallet_usage.reserve(
        pod.organisation, payer="wallet", currency="USD", amount=left, source_id="test", hold_id=uuid4()
    )
    actions.start_pod(pod=pod, actor=_owner(pod))
    look(pod)
    assert (pod.status, pod.reason) == (PodStatus.STOPPED, "no_funds"), story(pod)
    assert [instance["state"] for instance in desk.living()] == ["stopped"]


def test_a_provider_that_cannot_stop_is_ended_instead(bench: Benches, config_of: Configs) -> None:
    desk = bench("vast")
    pod = drive(deploy(config_of(), cheapest("vast", gpu_id="rtx-4090")), PodStatus.RUNNING)
    provider = placement_of(pod).provider
    provider.capabilities = [name for name in provider.capabilities if name != "stop"]
    provider.save()
    actions.stop_pod(pod=pod, actor=_owner(pod))
    drive(pod, lambda row: placement_of(row).seen_gone == 1)
    age(pod, 5, "seen_gone_at")
    drive(pod, PodStatus.STOPPED)
    assert desk.living() == []


def test_stopping_before_a_place_was_found_needs_no_provider(bench: Benches, config_of: Configs) -> None:
    desk = bench("vast")
    pod = deploy(config_of(), cheapest("vast", gpu_id="rtx-4090"))
    actions.stop_pod(pod=pod, actor=_owner(pod))
    drive(pod, PodStatus.STOPPED)
    assert desk.instances() == []


def test_a_pod_ends_when_its_time_is_over(bench: Benches, config_of: Configs) -> None:
    desk = bench("vast")
    pod = drive(deploy(config_of(ttl_hours=1), cheapest("vast", gpu_id="rtx-4090")), PodStatus.RUNNING)
    Pod.objects.filter(pk=pod.pk).update(ends_at=F("ends_at") - timedelta(hours=1))
    drive(pod, PodStatus.TERMINATING)
    assert (pod.desired_status, pod.reason) == (DesiredStatus.TERMINATED, "time_over")
    drive(pod, lambda row: placement_of(row).seen_gone == 1)
    assert desk.living() == []


def test_the_instance_lost_at_the_provider_comes_back_elsewhere(bench: Benches, config_of: Configs) -> None:
    desk = bench("vast")
    pod = drive(
        deploy(config_of(max_price_per_hour=Decimal(2)), cheapest("vast", gpu_id="rtx-4090")), PodStatus.RUNNING
    )
    first = placement_of(pod)
    desk.befall(first.ref, "fail")
    drive(pod, lambda row: row.epoch == 2 and row.status == PodStatus.RUNNING)
    second = placement_of(pod)
    assert second.offer_id != first.offer_id
    first.refresh_from_db()
    assert first.status in {Placement.Status.LOST, Placement.Status.GONE}
    assert first.ended_at is not None
    assert first.ended_at <= now()
    drive(pod, lambda row: placement_of(row).pk == second.pk and not _alive(desk, first.ref))
    assert [instance["id"] for instance in desk.living()] == [second.ref], story(pod)
    assert "instance_lost" in [event.reason for event in pod.events.all()]


def test_a_preempted_spot_instance_comes_back_as_the_next_epoch(bench: Benches, config_of: Configs) -> None:
    desk = bench("vast")
    config = config_of(kind="spot", max_price_per_hour=Decimal(2), gpu_query="")
    pod = drive(deploy(config), PodStatus.RUNNING)
    desk.befall(placement_of(pod).ref, "preempt")
    drive(pod, lambda row: row.epoch == 2 and row.status == PodStatus.RUNNING)
    assert "preempted" in [event.reason for event in pod.events.all()]


def test_a_job_whose_process_ended_is_complete_and_its_place_is_ended(bench: Benches, config_of: Configs) -> None:
    desk = bench("vast")
    pod = drive(deploy(config_of(), cheapest("vast", gpu_id="rtx-4090")), PodStatus.RUNNING)
    desk.befall(placement_of(pod).ref, "exit")
    drive(pod, PodStatus.COMPLETED)
    drive(pod, lambda row: placement_of(row).seen_gone == 1)
    assert desk.living() == []
    age(pod, 5, "seen_gone_at")
    drive(pod, lambda row: placement_of(row).status == Placement.Status.GONE)
    assert pod.status == PodStatus.COMPLETED


def test_a_place_that_is_never_reached_is_left_for_the_next(bench: Benches, config_of: Configs) -> None:
    desk = bench("vast", boot_s=600)
    pod = deploy(config_of(max_price_per_hour=Decimal(2)), cheapest("vast", gpu_id="rtx-4090"))
    drive(pod, lambda row: placement_of(row).status == Placement.Status.CREATING)
    first = placement_of(pod)
    age(pod, 1000, "phase_at")
    drive(pod, lambda row: placement_of(row).pk != first.pk and bool(placement_of(row).ref))
    first.refresh_from_db()
    assert "not reachable in time" in first.error
    assert placement_of(pod).epoch == 2, "something may still exist there: its epoch is stale now"
    drive(pod, lambda _row: not _alive(desk, first.ref))
    assert [instance["id"] for instance in desk.living()] == [placement_of(pod).ref]


def _alive(desk: Bench, ref: str) -> bool:
    return ref in [instance["id"] for instance in desk.living()]


def _owner(pod: Pod) -> Any:
    from accounts import actor

    return actor.user(pod.organisation.members.earliest("date_joined"))
