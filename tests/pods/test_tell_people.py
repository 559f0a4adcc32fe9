"""What stands in the inbox when a pod changed by itself, and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from accounts import actor
from accounts.models import Organisation
from notifications.models import Notification
from pods import lifecycle, notices, tasks
from pods.models import Pod
from pods.states import PodStatus, Reason

WORKER = actor.worker("test")


@pytest.fixture(autouse=True)
def _tasks_run_at_once() -> Iterator[None]:
    configuration = tasks.tell_people.app.conf
    configuration.task_always_eager = True
    yield
    configuration.task_always_eager = False


def change(renter: Organisation, old: str, new: str, reason: str, callbacks: Any) -> list[Notification]:
    pod = Pod.objects.create(organisation=renter, name="llama", mode="SANDBOX", status=old)
    pod.refresh_from_db()
    with callbacks(execute=True):
        lifecycle.switch_status(pod, new, reason=reason, actor=WORKER, message="why")
    return list(Notification.objects.all())


def test_people_hear_of_what_happened_by_itself(renter: Organisation, django_capture_on_commit_callbacks: Any) -> None:
    [told] = change(
        renter, PodStatus.RUNNING, PodStatus.RECOVERING, Reason.NODE_LOST, django_capture_on_commit_callbacks
    )
    assert (told.kind, told.title, told.body) == ("pod.moved", "llama moves: its node fell silent", "why")
    assert told.url == f"/pods/{Pod.objects.get().public_id}/"


def test_people_hear_nothing_of_what_they_asked_for(
    renter: Organisation, django_capture_on_commit_callbacks: Any
) -> None:
    told = change(renter, PodStatus.RUNNING, PodStatus.STOPPING, Reason.REQUESTED, django_capture_on_commit_callbacks)
    assert told == []


def test_every_piece_of_news_can_happen_and_can_be_told(renter: Organisation) -> None:
    pod = Pod.objects.create(organisation=renter, name="llama", mode="SANDBOX")
    for news in notices.NEWS:
        status, _slash, reason = news.partition("/")
        assert news in {notices.FUNDS_LOW, notices.OVERDUE} or (status in PodStatus.values and reason in Reason.values)
        notices.tell(pod.pk, news, "")
    assert Notification.objects.count() == len(notices.NEWS)
    assert all("llama" in told.title for told in Notification.objects.all())
