"""Every websocket, opened by nobody and by the owner of another organisation: refused before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.cache import SessionStore

from config.asgi import routes
from lib.sockets import NOT_FOUND, UNAUTHENTICATED
from tests.patience import PATIENCE_S
from tests.people import Person
from tests.tenancy.rows import Theirs

pytestmark = [pytest.mark.anyio, pytest.mark.django_db(transaction=True)]

PUBLIC = {"ws/", "ws/gpu-availability/"}
# Agents say who they are in their first frame.
AGENTS = {"ws/nodes/"}
OWN = {"ws/dashboard/", "ws/notifications/"}
STAFF = {"ws/staff/billing/"}
ROWS = {"ws/pods/<str:pod_id>/"}


def fill(address: str, theirs: Theirs) -> str:
    filled = "/" + address.replace("<str:pod_id>", theirs.pod_id)
    assert "<" not in filled, f"add an example id for {address}"
    return filled


async def open_socket(address: str, person: Any = None) -> WebsocketCommunicator:
    communicator = WebsocketCommunicator(URLRouter(routes), address)
    communicator.scope["user"] = person or AnonymousUser()
    communicator.scope["session"] = SessionStore()
    connected, _code = await communicator.connect(timeout=PATIENCE_S)
    assert connected, "it is accepted first, so that the reason can be told"
    return communicator


async def closed_with(communicator: WebsocketCommunicator) -> tuple[str, int]:
    """The refusal's code and the close code; nothing else may have been sent."""
    refusal = await communicator.receive_json_from(timeout=PATIENCE_S)
    assert refusal["type"] == "refused", refusal
    closing = await communicator.receive_output(timeout=PATIENCE_S)
    assert closing["type"] == "websocket.close"
    return refusal["code"], closing["code"]


async def test_every_socket_stands_in_a_table() -> None:
    listed = PUBLIC | AGENTS | OWN | STAFF | ROWS
    found = {str(route.pattern) for route in routes}
    assert found - listed == set(), "new sockets: put each into the table where it belongs"
    assert listed - found == set(), "sockets that are no more"


@pytest.mark.parametrize("message", [{"token": "gbk_rubbish"}, {"token": "a.b.c"}, {"token": 1}, [], {}])
async def test_nobody_hears_anything(message: Any, theirs: Theirs) -> None:
    for address in sorted(OWN | STAFF | ROWS):
        communicator = await open_socket(fill(address, theirs))
        await communicator.send_json_to(message)
        assert await closed_with(communicator) == ("unauthenticated", UNAUTHENTICATED), address


async def test_a_stranger_is_no_agent(theirs: Theirs) -> None:
    for address in sorted(AGENTS):
        communicator = await open_socket(fill(address, theirs))
        await communicator.send_json_to({"type": "beat"})
        assert (await closed_with(communicator))[0] in {"no_hello", "bad_frame"}


@pytest.mark.parametrize("how", ["session", "token"])
async def test_an_outsider_hears_nothing_of_others(how: str, theirs: Theirs, outsider: Person) -> None:
    token = await sync_to_async(lambda: outsider.access_token)()
    for address in sorted(STAFF | ROWS):
        communicator = await open_socket(fill(address, theirs), outsider.user if how == "session" else None)
        if how == "token":
            await communicator.send_json_to({"token": token})
        assert await closed_with(communicator) == ("not_found", NOT_FOUND), address


async def test_the_owner_hears(theirs: Theirs, owner: Person) -> None:
    for address in sorted(ROWS):
        communicator = await open_socket(fill(address, theirs), owner.user)
        assert (await communicator.receive_json_from(timeout=PATIENCE_S))["type"] != "refused"
        await communicator.disconnect()
