"""The pod page's socket: who may listen, what comes first, what comes live, and in how many messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.cache import SessionStore

from accounts import actor, tokens
from accounts.models import Organisation, User
from lib import sockets
from pods import lifecycle, reports
from pods.models import Pod
from pods.sockets import routes
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.anyio, pytest.mark.django_db(transaction=True)]
AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def pod(transactional_db: None, renter: Organisation) -> Pod:
    pod = Pod.objects.create(organisation=renter, name="job", mode="SANDBOX")
    pod.refresh_from_db()
    return pod


@asynccontextmanager
async def socket(pod: Pod, person: Any = None, path: str = "") -> AsyncIterator[WebsocketCommunicator]:
    communicator = WebsocketCommunicator(URLRouter(routes), path or f"/ws/pods/{pod.public_id}/")
    communicator.scope["user"] = person or AnonymousUser()
    communicator.scope["session"] = SessionStore()
    connected, _code = await communicator.connect(timeout=PATIENCE_S)
    assert connected
    try:
        yield communicator
    finally:
        await communicator.disconnect()


def lines(first: int, last: int) -> list[tuple[int, datetime, str, str]]:
    return [(number, AT, "stdout", f"step {number}") for number in range(first, last + 1)]


async def texts(communicator: WebsocketCommunicator) -> list[str]:
    message = await communicator.receive_json_from(timeout=PATIENCE_S)
    assert message["type"] == "pod.logs"
    return [line["text"] for line in message["lines"]]


@sync_to_async
def owner(pod: Pod) -> User:
    return pod.organisation.members.earliest("date_joined")


async def test_a_member_sees_the_last_lines_and_then_the_live_ones(pod: Pod) -> None:
    await sync_to_async(reports.store_logs)(pod, 1, lines(1, 250))
    async with socket(pod, await owner(pod)) as communicator:
        assert (await communicator.receive_json_from(timeout=PATIENCE_S))["type"] == "pod.changed"
        first = await texts(communicator)
        assert (len(first), first[0], first[-1]) == (200, "step 51", "step 250")
        await sync_to_async(reports.store_logs)(pod, 1, lines(251, 252))
        assert await texts(communicator) == ["step 251", "step 252"]


async def test_many_small_reports_come_as_few_messages(pod: Pod) -> None:
    async with socket(pod, await owner(pod)) as communicator:
        for _first in range(2):
            await communicator.receive_json_from(timeout=PATIENCE_S)
        for number in range(1, 41):
            await sync_to_async(reports.store_logs)(pod, 1, lines(number, number))
        seen: list[str] = []
        messages = 0
        while len(seen) < 40:
            seen += await texts(communicator)
            messages += 1
        assert seen == [f"step {number}" for number in range(1, 41)]
        assert messages <= 10


async def test_a_change_of_status_is_told(pod: Pod) -> None:
    async with socket(pod, await owner(pod)) as communicator:
        for _first in range(2):
            await communicator.receive_json_from(timeout=PATIENCE_S)
        change = sync_to_async(lifecycle.switch_status)
        await change(pod, "provisioning", reason="started", actor=actor.worker("test"))
        event = await communicator.receive_json_from(timeout=PATIENCE_S)
        assert event == {"type": "pod.changed", "id": pod.public_id, "version": 1, "status": "provisioning"}


async def test_programs_send_their_token_first(pod: Pod) -> None:
    pair = await sync_to_async(tokens.issue)(await owner(pod))
    async with socket(pod) as communicator:
        await communicator.send_json_to({"token": pair["access"]})
        assert (await communicator.receive_json_from(timeout=PATIENCE_S))["type"] == "pod.changed"


@pytest.mark.parametrize("first", [{"token": "wrong"}, {"hello": 1}, [], {"token": 5}])
async def test_a_wrong_token_is_refused(pod: Pod, first: Any) -> None:
    async with socket(pod) as communicator:
        await communicator.send_json_to(first)
        assert (await communicator.receive_json_from(timeout=PATIENCE_S))["code"] == "unauthenticated"
        assert (await communicator.receive_output(timeout=PATIENCE_S))["code"] == sockets.UNAUTHENTICATED


async def test_what_is_no_json_is_refused(pod: Pod) -> None:
    async with socket(pod) as communicator:
        await communicator.send_to(text_data="hello?")
        assert (await communicator.receive_json_from(timeout=PATIENCE_S))["code"] == "unauthenticated"


async def test_who_sends_no_token_in_time_is_shown_out(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "TOKEN_WITHIN_S", 0.05)
    async with socket(pod) as communicator:
        assert (await communicator.receive_json_from(timeout=PATIENCE_S))["code"] == "token_needed"
        assert (await communicator.receive_output(timeout=PATIENCE_S))["code"] == sockets.TOO_SLOW


async def test_strangers_and_wrong_ids_get_the_same_answer(pod: Pod) -> None:
    stranger = await sync_to_async(User.objects.create_user)("stranger@example.org", "a long password")
    for path in ("", "/ws/pods/pod_zzzz/", f"/ws/pods/pod_{'0' * 26}/"):
        async with socket(pod, stranger, path) as communicator:
            assert (await communicator.receive_json_from(timeout=PATIENCE_S))["code"] == "not_found"
            assert (await communicator.receive_output(timeout=PATIENCE_S))["code"] == sockets.NOT_FOUND
