"""A plan's number of running pods holds for those that start again, too."""

from __future__ import annotations

import pytest

from accounts.models import Organisation
from lib.errors import Forbidden
from pods import actions
from pods.models import Payer, Pod
from pods.states import PodStatus
from tests.people import Person


def pod_of(organisation: Organisation, status: str) -> Pod:
    return Pod.objects.create(organisation=organisation, name="job", mode="SANDBOX", payer=Payer.CREDITS, status=status)


@pytest.mark.parametrize("verb", [actions.start_pod, actions.try_next_best])
def test_a_resting_pod_takes_a_place_when_it_starts(verb: object, owner: Person, renter: Organisation) -> None:
    running = [pod_of(renter, PodStatus.RUNNING) for _ in range(2)]
    resting = pod_of(renter, PodStatus.FAILED)
    with pytest.raises(Forbidden) as refused:
        verb(pod=resting, actor=owner.actor)  # type: ignore[operator]
    assert refused.value.code == "plan_limit"
    resting.refresh_from_db()
    assert resting.status == PodStatus.FAILED
    Pod.objects.filter(pk=running[0].pk).update(status=PodStatus.STOPPED)
    verb(pod=resting, actor=owner.actor)  # type: ignore[operator]
    assert Pod.objects.get(pk=resting.pk).status == PodStatus.QUEUED
