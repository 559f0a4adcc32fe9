"""What providers do on their bad days, and what a crash of ours leaves behind: never a second instance."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.db import connection
from django.db.models.functions import Now

from lib import leases
from marketplace.models import Offer, Provider
from marketplace.providers import wire
from marketplace.providers.base import Unreachable
from marketplace.registry import adapter_for
from pods import actions, outages, places, reconcile, sweeping, tasks
from pods.models import Placement, Pod, PodConfig
from pods.moves import begin_move
from pods.states import PodStatus, Reason
from tests.patience import PATIENCE_S
from tests.pods.driving import Bench, age, deploy, drive, look, placement_of, story
from tests.pods.market import cheapest

Benches = Callable[..., Bench]
Configs = Callable[..., PodConfig]
renting = pytest.mark.parametrize("slug", ["vast", "runpod"])
CREATE = {"vast": "/api/v0/asks", "runpod": "/v2/pods"}


@renting
def test_a_lost_answer_makes_no_second_instance(slug: str, bench: Benches, config_of: Configs) -> None:
    desk = bench(slug)
    pod = deploy(config_of(), cheapest(slug, gpu_id="rtx-4090"))
    desk.fault("drop_answer_after_create", CREATE[slug], count=1)
    drive(pod, PodStatus.RUNNING)
    assert len(desk.instances()) == 1, story(pod)
    assert placement_of(pod).ref == desk.instances()[0]["id"]
    assert pod.placements.count() == 1


@renting
def test_a_worker_that_died_before_it_wrote_the_answer_makes_no_second_instance(
    slug: str, bench: Benches, config_of: Configs
) -> None:
    desk = bench(slug)
    pod = deploy(config_of(), cheapest(slug, gpu_id="rtx-4090"))
    [claimed] = leases.claim_due(Pod.objects.filter(pk=pod.pk), limit=1, seconds=0.01)
    offer = claimed.offer
    assert offer is not None
    placement = places.reserve(claimed, offer)
    assert placement is not None
    Placement.objects.filter(pk=placement.pk).update(phase=places.ASKED)
    # The provider made it; the worker is killed here, and its lease runs out.
    adapter_for(slug).create(places.launch_request(claimed, placement))
    drive(pod, PodStatus.RUNNING)
    assert len(desk.instances()) == 1
    assert placement_of(pod).pk == placement.pk


@renting
def test_server_errors_are_asked_again(slug: str, bench: Benches, config_of: Configs) -> None:
    desk = bench(slug)
    pod = deploy(config_of(), cheapest(slug, gpu_id="rtx-4090"))
    desk.fault("http_500", CREATE[slug], count=2)
    drive(pod, PodStatus.RUNNING)
    assert pod.placements.count() == 1
    assert len(desk.instances()) == 1


def test_a_provider_that_hangs_is_left_within_its_limit(
    bench: Benches, config_of: Configs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "CALL_S", 0.5)
    monkeypatch.setitem(places.PHASE_LIMITS, places.ASKED, 1)
    desk = bench("vast")
    other = bench("runpod")
    pod = deploy(config_of(max_price_per_hour=Decimal(2)), cheapest("vast", gpu_id="rtx-4090"))
    desk.fault("hang", CREATE["vast"])
    wanted = pod.offer
    assert wanted is not None
    Offer.objects.filter(provider_id="vast").exclude(pk=wanted.pk).delete()
    drive(pod, PodStatus.RUNNING)
    assert placement_of(pod).provider_id == "runpod"
    assert len(other.living()) == 1
    assert desk.living() == []
    tried = pod.placements.earliest("epoch")
    assert "no answer" in tried.error


def test_the_next_best_offer_is_taken_and_the_refusal_is_kept(bench: Benches, config_of: Configs) -> None:
    desk = bench("vast")
    wanted = cheapest("vast", gpu_id="rtx-4090")
    pod = deploy(config_of(max_price_per_hour=Decimal(2)), wanted)
    desk.fault("no_capacity", f"/api/v0/asks/{wanted.ref}")
    drive(pod, PodStatus.RUNNING)
    refused, taken = pod.placements.order_by("epoch", "attempt")
    assert (refused.status, refused.offer_id) == (Placement.Status.REFUSED, wanted.pk)
    assert refused.error
    assert refused.ended_at is not None
    assert refused.ended_at >= refused.requested_at
    assert (taken.epoch, taken.attempt) == (1, 2), "nothing ran at the one that refused: the same epoch"
    assert taken.offer_id != wanted.pk


def test_without_auto_select_a_refusal_fails_the_pod_until_the_next_best_is_asked_for(
    bench: Benches, config_of: Configs
) -> None:
    desk = bench("vast")
    wanted = cheapest("vast", gpu_id="rtx-4090")
    pod = deploy(config_of(auto_select=False, max_price_per_hour=Decimal(2)), wanted)
    desk.fault("no_capacity", f"/api/v0/asks/{wanted.ref}")
    drive(pod, PodStatus.FAILED)
    assert pod.reason == Reason.PROVIDER_REFUSED
    assert placement_of(pod).error in pod.message
    actions.try_next_best(pod=pod, actor=_owner(pod))
    drive(pod, PodStatus.RUNNING)
    assert placement_of(pod).offer_id != wanted.pk


def test_a_price_that_rose_is_refused_with_both_prices(bench: Benches, config_of: Configs) -> None:
    bench("vast")
    wanted = cheapest("vast", gpu_id="rtx-4090")
    pod = deploy(config_of(auto_select=False), wanted)
    Offer.objects.filter(pk=wanted.pk).update(price_per_hour=wanted.price_per_hour * 2)
    drive(pod, PodStatus.FAILED)
    refused = placement_of(pod)
    assert refused.status == Placement.Status.REFUSED
    assert str(wanted.price_per_hour * 2)[:6] in refused.error
    assert "rose" in pod.message


def test_a_price_that_rose_only_at_the_provider_is_refused_there(bench: Benches, config_of: Configs) -> None:
    desk = bench("vast")
    wanted = cheapest("vast", gpu_id="rtx-4090")
    shown = (wanted.price_per_hour * Decimal("0.9")).quantize(Decimal("0.000001"))
    Offer.objects.filter(pk=wanted.pk).update(price_per_hour=shown)
    wanted.refresh_from_db()
    pod = deploy(config_of(auto_select=False), wanted)
    drive(pod, PodStatus.FAILED)
    assert "price" in pod.message
    assert desk.living() == []


def test_an_offer_within_the_customers_limit_is_taken_although_it_rose(bench: Benches, config_of: Configs) -> None:
    bench("vast")
    wanted = cheapest("vast", gpu_id="rtx-4090")
    pod = deploy(config_of(max_price_per_hour=Decimal(20)), wanted)
    Offer.objects.filter(pk=wanted.pk).update(price_per_hour=wanted.price_per_hour * Decimal("1.5"))
    drive(pod, PodStatus.RUNNING)
    assert placement_of(pod).offer_id == wanted.pk


def test_nothing_that_fits_waits_and_then_fails(bench: Benches, config_of: Configs) -> None:
    bench("vast")
    pod = deploy(config_of(), cheapest("vast", gpu_id="rtx-4090"))
    Offer.objects.all().delete()
    look(pod)
    assert pod.status == PodStatus.QUEUED
    assert "still looking" in pod.message
    Pod.objects.filter(pk=pod.pk).update(seeking_since=Now() - reconcile.PATIENCE)
    drive(pod, PodStatus.FAILED)
    assert pod.reason == Reason.NO_CAPACITY


def test_an_unexpected_error_is_kept_and_the_pod_is_tried_again(
    bench: Benches, config_of: Configs, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench("vast")
    pod = deploy(config_of(), cheapest("vast", gpu_id="rtx-4090"))
    handlers = {**reconcile.HANDLERS, PodStatus.QUEUED: _stumble}
    with monkeypatch.context() as patched:
        patched.setattr(reconcile, "HANDLERS", handlers)
        for failures in (1, 2, 3):
            look(pod)
            assert (pod.failures, pod.status) == (failures, PodStatus.QUEUED)
            assert "ZeroDivisionError" in pod.last_error
            assert pod.lease_token is None
    drive(pod, PodStatus.RUNNING)
    assert (pod.failures, pod.last_error) == (0, "")


def test_who_moved_the_pod_first_wins(bench: Benches, config_of: Configs) -> None:
    bench("vast")
    pod = drive(
        deploy(config_of(max_price_per_hour=Decimal(2)), cheapest("vast", gpu_id="rtx-4090")), PodStatus.RUNNING
    )
    moves = [
        begin_move(pod_id=pod.pk, seen_epoch=1, reason=Reason.NODE_LOST, actor=places.ACTOR) for _again in range(3)
    ]
    assert moves == [True, False, False]
    pod.refresh_from_db()
    assert (pod.status, pod.epoch) == (PodStatus.RECOVERING, 2)


def test_a_worker_whose_pod_was_moved_meanwhile_applies_nothing(bench: Benches, config_of: Configs) -> None:
    bench("vast")
    pod = drive(
        deploy(config_of(max_price_per_hour=Decimal(2)), cheapest("vast", gpu_id="rtx-4090")), PodStatus.RUNNING
    )
    old = placement_of(pod)
    leases.hint(Pod, pod.pk)
    [slow] = leases.claim_due(Pod.objects.filter(pk=pod.pk), limit=1, seconds=60)
    begin_move(pod_id=pod.pk, seen_epoch=1, reason=Reason.NODE_LOST, actor=places.ACTOR)
    places.look(slow, old)  # answers "running", too late
    with pytest.raises(reconcile.LeaseLost):
        reconcile._reload(slow)
    pod.refresh_from_db()
    assert pod.status == PodStatus.RECOVERING
    assert not leases.release(slow, due_in=0)


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_make_one_instance(transactional_db: None, bench: Benches, config_of: Configs) -> None:
    desk = bench("vast")
    pod = deploy(config_of(), cheapest("vast", gpu_id="rtx-4090"))
    start = threading.Barrier(2)

    def work() -> None:
        try:
            start.wait(PATIENCE_S)
            for _look in range(3):
                leases.hint(Pod, pod.pk)
                reconcile.reconcile(pod.pk)
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _worker in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(2 * PATIENCE_S)
    drive(pod, PodStatus.RUNNING)
    assert len(desk.instances()) == 1
    assert pod.placements.count() == 1


def test_an_orphan_of_a_finished_placement_is_ended_and_strangers_are_left_alone(
    bench: Benches, config_of: Configs
) -> None:
    desk = bench("vast")
    pod = drive(deploy(config_of(), cheapest("vast", gpu_id="rtx-4090")), PodStatus.RUNNING)
    row = placement_of(pod)
    adapter = adapter_for("vast")
    stranger = adapter.create(_request(pod, row, key=f"gpubroker-{uuid4().hex}-1-1"))
    person = adapter.create(_request(pod, row, key="my own training"))
    actions.terminate_pod(pod=pod, actor=_owner(pod))
    drive(pod, lambda pod: placement_of(pod).seen_gone == 1)
    age(pod, 5, "seen_gone_at")
    drive(pod, PodStatus.TERMINATED)
    # An answer that was lost for good: the instance appears after everything was over.
    late = adapter.create(_request(pod, row, key=row.key))
    assert sweeping.sweep() == 1
    left = {instance["id"] for instance in desk.living()}
    assert left == {stranger.ref, person.ref}
    assert late.ref not in left
    assert sweeping.sweep() == 0


def _request(pod: Pod, row: Placement, *, key: str) -> Any:
    """A request for whatever card is free at the peer now."""
    free = next(offer for offer in adapter_for("vast").list_offers() if offer.kind == "on_demand")
    request = places.launch_request(pod, row)
    return replace(request, key=key, offer_ref=free.ref, max_price_per_hour=Decimal(100))


def _stumble(pod: Pod) -> float:
    return 1 / 0


def _owner(pod: Pod) -> Any:
    from accounts import actor

    return actor.user(pod.organisation.members.earliest("date_joined"))


def test_a_provider_that_is_out_interrupts_no_pod_and_gets_no_new_one(bench: Benches, config_of: Configs) -> None:
    desk = bench("vast")
    other = bench("runpod")
    pod = drive(deploy(config_of(), cheapest("vast", gpu_id="rtx-4090")), PodStatus.RUNNING)
    desk.fault("http_500")
    for failures in range(1, outages.FAILURES + 1):
        look(pod)
        assert (pod.status, pod.failures) == (PodStatus.RUNNING, failures)
    look(pod)
    assert pod.failures == 0, "nobody asked any more"
    new = drive(deploy(config_of(max_price_per_hour=Decimal(2)), None, "second"), PodStatus.RUNNING)
    assert placement_of(new).provider_id == "runpod"
    assert len(other.living()) == 1
    desk.fault("off")
    cache.delete("outage:open:vast")  # ten seconds went by
    look(pod)
    assert pod.status == PodStatus.RUNNING
    assert outages.out_of(["vast"]) == []
    assert pod.epoch == 1


def test_a_pod_that_its_provider_keeps_stays_unfinished_and_somebody_is_told(
    bench: Benches, config_of: Configs
) -> None:
    desk = bench("vast")
    pod = drive(deploy(config_of(), cheapest("vast", gpu_id="rtx-4090")), PodStatus.RUNNING)
    actions.terminate_pod(pod=pod, actor=_owner(pod))
    desk.fault("http_500")
    look(pod)
    assert (pod.status, pod.failures) == (PodStatus.TERMINATING, 1)
    Pod.objects.filter(pk=pod.pk).update(status_at=Now() - reconcile.OVERDUE)
    for _look in range(2):
        look(pod)
    assert pod.events.filter(kind="overdue").count() == 1
    assert pod.status == PodStatus.TERMINATING
    desk.fault("off")
    cache.clear()
    drive(pod, lambda row: placement_of(row).seen_gone == 1)


def test_only_one_caller_tries_whether_a_provider_is_back(db: None) -> None:
    for _call in range(outages.FAILURES):
        with pytest.raises(Unreachable), outages.watching("vast"):
            raise Unreachable("no answer")
    assert outages.is_out("vast")
    cache.delete("outage:open:vast")
    assert [outages.is_out("vast") for _caller in range(3)] == [False, True, True]
    with outages.watching("vast"):
        pass
    assert not outages.is_out("vast")


@pytest.mark.django_db(transaction=True)
def test_looks_that_wait_for_strangers_are_queued_apart(
    transactional_db: None, bench: Benches, config_of: Configs, monkeypatch: pytest.MonkeyPatch
) -> None:
    queues: list[str] = []
    monkeypatch.setattr(
        tasks.reconcile_pod, "apply_async_on_commit", lambda _args, queue, expires: queues.append(queue)
    )
    bench("vast")
    pod = deploy(config_of(), cheapest("vast", gpu_id="rtx-4090"))
    drive(pod, PodStatus.RUNNING)
    queues.clear()
    tasks.call_workers([pod.pk])
    Placement.objects.update(provider=Provider.objects.create(slug="catalyst", name="Catalyst"))
    tasks.call_workers([pod.pk])
    assert queues == ["work", "control"]
