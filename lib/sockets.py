"""Websockets of pages: who may listen is asked before anything is sent, and much is sent as few messages.

Browsers are known by their session. Other clients send `{"token": "…"}` as their first message within 5 s; a token
never stands in an address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.utils.module_loading import import_string

from lib.errors import AppError

TOKEN_WITHIN_S = 5.0
# At most four messages a second for each socket.
FLUSH_S = 0.25
MAX_WAITING = 500
UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, TOO_SLOW = 4401, 4403, 4404, 4408
# People are a matter of a higher layer, named here as providers are in the settings.
ACTOR_OF_SESSION = "accounts.middleware.actor_of_session"
ACTOR_OF_TOKEN = "accounts.auth.actor_of_token"  # noqa: S105  (a dotted path)


class PageConsumer(AsyncJsonWebsocketConsumer):
    """One socket of a page. Subclasses say which groups its actor may hear, and what is sent first.

    Events of one type that name `coalesce` (type → name of a list) are joined; of all others only the newest of a
    type and id waits, since pages fetch what they show.
    """

    coalesce: ClassVar[dict[str, str]] = {}

    def authorise(self, actor: Any) -> list[str]:
        """Groups to listen to. Runs with the database; raises AppError for what the actor may not see."""
        raise NotImplementedError

    def first_messages(self) -> list[dict[str, Any]]:
        """Sent once, right after the subscription. Runs with the database."""
        return []

    async def connect(self) -> None:
        self.listening: list[str] = []
        self.waiting: dict[tuple[str, str], dict[str, Any]] = {}
        self.timers: list[asyncio.TimerHandle] = []
        self.flush_planned = False
        await self.accept()
        actor = await database_sync_to_async(self._actor_of_session)()
        if actor is not None:
            await self._listen(actor)
        else:
            self._later(TOKEN_WITHIN_S, self._close_unless_listening)

    def _actor_of_session(self) -> Any:
        person, session = self.scope.get("user"), self.scope.get("session")
        if person is None or session is None or not person.is_authenticated:
            return None
        return import_string(ACTOR_OF_SESSION)(person, session)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        if self.listening:
            return
        token = content.get("token") if isinstance(content, dict) else None
        actor = None
        if isinstance(token, str) and len(token) < 4096:
            actor = await database_sync_to_async(import_string(ACTOR_OF_TOKEN))(token)
        if actor is None:
            await self._refuse("unauthenticated", "The token is not valid.", UNAUTHENTICATED)
        else:
            await self._listen(actor)

    @classmethod
    async def decode_json(cls, text_data: str) -> Any:
        try:
            return await super().decode_json(text_data)
        except ValueError:
            return None

    async def disconnect(self, code: int) -> None:
        for timer in self.timers:
            timer.cancel()
        for group in self.listening:
            await self.channel_layer.group_discard(group, self.channel_name)

    async def page_event(self, message: dict[str, Any]) -> None:
        """An event of `lib.push`: sent within a quarter of a second, together with others of its kind."""
        event = message["event"]
        key = (event.get("type", ""), str(event.get("id", "")))
        name = self.coalesce.get(key[0])
        before = self.waiting.get(key)
        if name and before:
            event = event | {name: [*before[name], *event[name]][-MAX_WAITING:]}
        self.waiting[key] = event
        if not self.flush_planned:
            self.flush_planned = True
            self._later(FLUSH_S, self._flush)

    async def _listen(self, actor: Any) -> None:
        try:
            groups = await database_sync_to_async(self.authorise)(actor)
        except AppError as refusal:
            code = {401: UNAUTHENTICATED, 403: FORBIDDEN}.get(refusal.status, NOT_FOUND)
            await self._refuse(refusal.code, refusal.message, code)
            return
        # Listen first, then read: what happens in between is sent twice and never lost.
        for group in groups:
            await self.channel_layer.group_add(group, self.channel_name)
        self.listening = groups
        for message in await database_sync_to_async(self.first_messages)():
            await self.send_json(message)

    async def _flush(self) -> None:
        self.flush_planned = False
        events, self.waiting = list(self.waiting.values()), {}
        for event in events:
            await self.send_json(event)

    async def _close_unless_listening(self) -> None:
        if not self.listening:
            await self._refuse("token_needed", "Send a token within 5 s, or sign in.", TOO_SLOW)

    async def _refuse(self, code: str, message: str, close_code: int) -> None:
        await self.send_json({"type": "refused", "code": code, "message": message})
        await self.close(code=close_code)

    def _later(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        def begin() -> None:
            # Kept until it is done: the loop itself holds tasks only weakly.
            self.running = asyncio.ensure_future(act())

        self.timers.append(asyncio.get_running_loop().call_later(seconds, begin))
