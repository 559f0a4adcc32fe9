"""Events over the real Valkey: after commit, never before, and without harm when Valkey is away."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.db import transaction
from django.test import override_settings

from lib.local.ports import free_port
from lib.push import node_group, organisation_group, person_group, pod_group, push, push_now
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.anyio, pytest.mark.django_db(transaction=True)]


async def listen(group: str) -> str:
    layer = get_channel_layer()
    channel: str = await layer.new_channel()
    await layer.group_add(group, channel)
    return channel


async def hear(channel: str) -> Any:
    return await asyncio.wait_for(get_channel_layer().receive(channel), PATIENCE_S)


async def test_an_event_comes_after_the_commit_and_to_its_group_only() -> None:
    group = organisation_group(uuid4())
    channel, other = await listen(group), await listen(organisation_group(uuid4()))
    in_time = asyncio.ensure_future(hear(channel))

    @sync_to_async
    def change() -> bool:
        with transaction.atomic():
            push(group, {"type": "pod.changed", "id": "pod_1"})
            return in_time.done()

    assert await change() is False
    assert await in_time == {"type": "page.event", "event": {"type": "pod.changed", "id": "pod_1"}}
    # Events of one server come in order: had the other group got this one, it would come first.
    await sync_to_async(push_now)(group, {"type": "pod.changed", "id": "pod_2"})
    assert (await hear(channel))["event"]["id"] == "pod_2"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(get_channel_layer().receive(other), 0.1)


async def test_what_is_rolled_back_was_never_told() -> None:
    group = organisation_group(uuid4())
    channel = await listen(group)

    @sync_to_async
    def fail() -> None:
        with transaction.atomic():
            push(group, {"type": "pod.changed", "id": "never"})
            transaction.set_rollback(True)

    await fail()
    await sync_to_async(push)(group, {"type": "pod.changed", "id": "outside"})
    assert (await hear(channel))["event"]["id"] == "outside"


async def test_an_event_with_nobody_listening_is_no_error() -> None:
    await sync_to_async(push)(pod_group(uuid4()), {"type": "pod.changed"})


async def test_without_valkey_the_change_stays_and_a_line_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    away = {"hosts": [f"redis://127.0.0.1:{free_port()}/0"]}
    backend = "channels_redis.pubsub.RedisPubSubChannelLayer"

    @sync_to_async
    def change() -> str:
        with transaction.atomic():
            push(pod_group(uuid4()), {"type": "pod.changed"})
        return "committed"

    with override_settings(CHANNEL_LAYERS={"default": {"BACKEND": backend, "CONFIG": away}}):
        assert await change() == "committed"
    assert "was not sent" in caplog.text


@pytest.mark.parametrize("name", [organisation_group, pod_group, person_group, node_group])
async def test_groups_have_names_that_the_layer_takes(name: Any) -> None:
    known = UUID("0192f3a4-5b6c-7d8e-9f01-23456789abcd")
    assert await listen(name(known))
    assert name(known) != name(uuid4())
