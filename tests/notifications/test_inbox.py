"""The inbox: each member who may see a matter gets a message of their own; it is read by them alone."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation
from accounts.roles import Permission
from notifications.inbox import mark_read, notify, unread_count
from notifications.models import Notification
from tests.patience import PATIENCE_S
from tests.people import Person, join, make_organisation


def tell(organisation: Organisation, **more: Any) -> list[Notification]:
    return notify(organisation, kind="pod.failed", title="Pod <one> failed", url="/pods/", **more)


def test_members_who_may_see_it_are_told(
    organisation: Organisation, owner: Person, billing_member: Person, viewer: Person, outsider: Person
) -> None:
    tell(organisation, permission=Permission.SEE_BILLING)
    told = set(Notification.objects.values_list("user__email", flat=True))
    assert told == {owner.user.email, billing_member.user.email}


def test_text_is_in_the_readers_language(organisation: Organisation, owner: Person, viewer: Person) -> None:
    owner.user.locale = "es"
    owner.user.save()
    # Django's own catalogue has this word.
    notify(organisation, kind="test.said", title=_("Yes"))
    said = dict(Notification.objects.values_list("user__email", "title"))
    assert said == {owner.user.email: "Sí", viewer.user.email: "Yes"}


def test_page_shows_and_opens(organisation: Organisation, owner: Person, viewer: Person) -> None:
    tell(organisation)
    page = owner.client.get("/inbox/").content.decode()
    assert "Pod &lt;one&gt; failed" in page
    row = Notification.objects.get(user=owner.user)
    assert viewer.client.post(f"/inbox/{row.public_id}/").status_code == 404
    assert owner.client.post(f"/inbox/{row.public_id}/")["Location"] == "/pods/"
    assert (unread_count(owner.user), unread_count(viewer.user)) == (0, 1)


def test_foreign_address_is_not_followed(organisation: Organisation, owner: Person) -> None:
    [row] = notify(organisation, kind="test.said", title="x", url="https://evil.example/")
    assert owner.client.post(f"/inbox/{row.public_id}/")["Location"] == "/inbox/"


def test_reading_all(organisation: Organisation, owner: Person, viewer: Person) -> None:
    tell(organisation)
    tell(organisation)
    owner.client.post("/inbox/read/")
    assert (unread_count(owner.user), unread_count(viewer.user)) == (0, 2)
    assert mark_read(owner.user) == 0


def test_empty_inbox_and_pages_beyond_it(owner: Person) -> None:
    assert "Nothing yet" in owner.client.get("/inbox/").content.decode()
    assert owner.client.get("/inbox/?page=999").status_code == 200
    assert owner.client.get("/inbox/?page=x").status_code == 200


def test_signed_out_is_sent_to_sign_in(anonymous: Any) -> None:
    assert anonymous.client.get("/inbox/")["Location"] == "/account/login/?next=/inbox/"


@pytest.mark.django_db(transaction=True)
def test_open_page_hears_of_it() -> None:
    organisation = make_organisation("Live")
    person = join(organisation, "owner@live.example", "owner")
    token = person.access_token

    async def listen() -> list[dict[str, Any]]:
        from config.asgi import application

        socket = WebsocketCommunicator(application, "/ws/notifications/", headers=[(b"origin", b"http://localhost")])
        assert (await socket.connect(timeout=PATIENCE_S))[0]
        await socket.send_json_to({"token": token})
        first = await socket.receive_json_from(timeout=PATIENCE_S)
        await database_sync_to_async(tell)(organisation)
        second = await socket.receive_json_from(timeout=PATIENCE_S)
        await socket.disconnect()
        return [first, second]

    first, second = async_to_sync(listen)()
    assert first == {"type": "notification.count", "unread": 0}
    assert second["type"] == "notification.new"


@pytest.mark.django_db(transaction=True)
def test_socket_refuses_a_bad_token() -> None:
    async def knock() -> dict[str, Any]:
        from config.asgi import application

        socket = WebsocketCommunicator(application, "/ws/notifications/", headers=[(b"origin", b"http://localhost")])
        assert (await socket.connect(timeout=PATIENCE_S))[0]
        await socket.send_json_to({"token": "rubbish"})
        answer: dict[str, Any] = await socket.receive_json_from(timeout=PATIENCE_S)
        await socket.disconnect()
        return answer

    assert async_to_sync(knock)()["code"] == "unauthenticated"
