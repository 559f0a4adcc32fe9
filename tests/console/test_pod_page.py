"""The pod page shows what there is to know, and its acts ask before they do."""

from __future__ import annotations

import pytest

from lib.clock import now
from pods.models import LogLine, MetricSample, Pod
from pods.states import DesiredStatus
from tests.people import Person


def url(pod: Pod, rest: str = "") -> str:
    return f"/pods/{pod.public_id}/{rest}"


def test_it_shows_the_pod_and_its_acts(owner: Person, pod: Pod) -> None:
    page = owner.client.get(url(pod)).content.decode()
    for text in (pod.name, "Running", "Kill its process", "Stop", "Terminate", "one"):
        assert text in page


def test_who_may_only_look_gets_no_buttons(viewer: Person, pod: Pod) -> None:
    page = viewer.client.get(url(pod))
    assert page.status_code == 200
    assert "Terminate" not in page.content.decode()
    assert viewer.client.get(url(pod, "stop/")).status_code == 403
    assert viewer.client.post(url(pod, "stop/")).status_code == 403


def test_to_others_it_does_not_exist(outsider: Person, pod: Pod) -> None:
    for rest in ("", "logs.txt", "tab/logs/", "stop/"):
        assert outsider.client.get(url(pod, rest)).status_code == 404


@pytest.mark.parametrize("tab", ["logs", "metrics", "events", "checkpoints", "billing"])
def test_every_tab_opens_empty_and_full(owner: Person, pod: Pod, tab: str) -> None:
    assert owner.client.get(url(pod, f"tab/{tab}/")).status_code == 200
    LogLine.objects.create(pod=pod, epoch=1, number=1, at=now(), text="<b>bold</b> line")
    MetricSample.objects.create(pod=pod, at=now(), cpu_percent=12.5, ram_bytes=2_000_000)
    page = owner.client.get(url(pod, f"tab/{tab}/"))
    assert page.status_code == 200
    assert "<b>bold</b>" not in page.content.decode(), "what a pod prints is text"
    assert owner.client.get(url(pod, "tab/secrets/")).status_code == 404


def test_stopping_asks_first(owner: Person, pod: Pod) -> None:
    assert "lost" in owner.client.get(url(pod, "stop/")).content.decode()
    assert Pod.objects.get().desired_status == DesiredStatus.RUNNING
    assert owner.client.post(url(pod, "stop/"))["Location"] == url(pod)
    assert Pod.objects.get().desired_status == DesiredStatus.STOPPED


def test_terminating_needs_the_name(owner: Person, pod: Pod) -> None:
    refused = owner.client.post(url(pod, "terminate/"), {"name": "another"})
    assert refused.status_code == 409
    assert Pod.objects.get().desired_status == DesiredStatus.RUNNING
    owner.client.post(url(pod, "terminate/"), {"name": pod.name})
    assert Pod.objects.get().desired_status == DesiredStatus.TERMINATED


def test_an_act_that_is_not_possible_now_says_why(owner: Person, pod: Pod) -> None:
    answer = owner.client.post(url(pod, "try-next/"))
    assert answer.status_code == 409
    assert "cannot do this" in answer.content.decode()


def test_the_log_comes_as_a_file(owner: Person, pod: Pod) -> None:
    LogLine.objects.create(pod=pod, epoch=1, number=1, at=now(), text="step 1")
    answer = owner.client.get(url(pod, "logs.txt"))
    assert answer["Content-Type"].startswith("text/plain")
    assert answer.content.endswith(b"Z step 1\n")
