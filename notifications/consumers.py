"""`/ws/notifications/`: that something new is in the inbox, and how much is unread."""

from __future__ import annotations

from typing import Any

from accounts.actor import Actor
from accounts.models import User
from lib.errors import AppError
from lib.push import person_group
from lib.sockets import PageConsumer
from notifications.inbox import unread_count


class NotificationConsumer(PageConsumer):
    person: User

    def authorise(self, actor: Actor) -> list[str]:
        if actor.user is None:
            raise AppError("Sign in first.", code="unauthenticated", status=401)
        self.person = actor.user
        return [person_group(actor.user.pk)]

    def first_messages(self) -> list[dict[str, Any]]:
        return [{"type": "notification.count", "unread": unread_count(self.person)}]
