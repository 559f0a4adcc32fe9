"""Every pair of states, and who may change them when."""

from __future__ import annotations

from uuid import uuid4

import pytest

from accounts import actor
from accounts.models import Organisation
from marketplace.models import Provider
from pods import lifecycle
from pods.lifecycle import PLACEMENT_TRANSITIONS, WrongTransition, set_placement_status, switch_status
from pods.models import Placement, Pod
from pods.reconcile import HANDLERS
from pods.states import TRANSITIONS, PodStatus, Reason, is_final, may_follow

WORKER = actor.worker("test")


def make_pod(organisation: Organisation, status: str = PodStatus.QUEUED, **columns: object) -> Pod:
    pod = Pod.objects.create(organisation=organisation, name="job", mode="SANDBOX", status=status, **columns)
    pod.refresh_from_db()
    return pod


@pytest.mark.parametrize("old", PodStatus)
def test_a_pod_changes_exactly_as_the_table_says(renter: Organisation, old: str) -> None:
    for new in PodStatus:
        pod = make_pod(renter, old)
        if may_follow(old, new):
            assert switch_status(pod, new, reason=Reason.REQUESTED, actor=WORKER)
            assert pod.status == new
            event = pod.events.get()
            assert (event.old_status, event.new_status, event.reason) == (old, new, Reason.REQUESTED)
        else:
            with pytest.raises(WrongTransition):
                switch_status(pod, new, reason=Reason.REQUESTED, actor=WORKER)
            assert not pod.events.exists()
        pod.refresh_from_db()
        assert pod.status == (new if may_follow(old, new) else old)


@pytest.mark.parametrize("old", Placement.Status)
def test_a_placement_changes_exactly_as_the_table_says(renter: Organisation, old: str) -> None:
    provider = Provider.objects.create(slug="somewhere", name="Somewhere")
    for new in Placement.Status:
        placement = Placement.objects.create(
            pod=make_pod(renter), epoch=1, provider=provider, payer="wallet", price_per_hour=1,
            provider_price_per_hour=1, status=old,
        )  # fmt: skip
        if new in PLACEMENT_TRANSITIONS[old]:
            assert set_placement_status(placement, new, actor=WORKER)
        else:
            with pytest.raises(WrongTransition):
                set_placement_status(placement, new, actor=WORKER)
        placement.refresh_from_db()
        assert placement.status == (new if new in PLACEMENT_TRANSITIONS[old] else old)


def test_a_pod_can_be_ended_in_every_state_but_the_last() -> None:
    for status in PodStatus:
        assert may_follow(status, PodStatus.TERMINATING) == (status not in {"terminating", "terminated"})
    assert [status for status in PodStatus if is_final(status)] == [PodStatus.TERMINATED]
    assert set(TRANSITIONS) == set(PodStatus)


def test_the_reconciler_knows_what_to_do_in_every_state_but_the_last() -> None:
    assert set(HANDLERS) == set(PodStatus) - {PodStatus.TERMINATED}


def test_who_read_an_old_status_changes_nothing(renter: Organisation) -> None:
    pod = make_pod(renter)
    stale = Pod.objects.get(pk=pod.pk)
    assert switch_status(pod, PodStatus.PROVISIONING, reason="", actor=WORKER)
    assert not switch_status(stale, PodStatus.FAILED, reason="", actor=WORKER)
    pod.refresh_from_db()
    assert pod.status == PodStatus.PROVISIONING
    assert pod.events.count() == 1


def test_who_read_an_old_epoch_changes_nothing(renter: Organisation) -> None:
    pod = make_pod(renter, PodStatus.RUNNING, epoch=1)
    Pod.objects.filter(pk=pod.pk).update(epoch=2)
    assert not switch_status(pod, PodStatus.COMPLETED, reason="", actor=WORKER)
    pod.refresh_from_db()
    assert pod.status == PodStatus.RUNNING


def test_who_lost_the_lease_changes_nothing(renter: Organisation) -> None:
    ours, theirs = uuid4(), uuid4()
    pod = make_pod(renter, lease_token=ours)
    Pod.objects.filter(pk=pod.pk).update(lease_token=theirs)
    assert not switch_status(pod, PodStatus.PROVISIONING, reason="", actor=WORKER, lease_token=ours)
    assert switch_status(pod, PodStatus.PROVISIONING, reason="", actor=WORKER, lease_token=theirs)


def test_each_change_raises_the_version_and_tells_pages(
    renter: Organisation, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: object
) -> None:
    told: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(lifecycle, "push", lambda group, event: told.append((group, event)))
    pod = make_pod(renter)
    switch_status(pod, PodStatus.PROVISIONING, reason="", actor=WORKER)
    assert pod.version == 1
    event = {"type": "pod.changed", "id": pod.public_id, "version": 1, "status": "provisioning"}
    assert told == [(f"organisation.{renter.pk.hex}", event), (f"pod.{pod.pk.hex}", event)]
