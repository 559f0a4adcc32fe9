"""Mail that leaves the machine, as in LIVE."""

from __future__ import annotations

from typing import Any

from lib.local.ports import LOOPBACK


def use_service(settings: Any, port: int) -> None:
    """The mail service at `port` of this machine."""
    settings.EMAIL_BACKEND = "notifications.channels.email.EmailBackend"
    settings.EMAIL_SERVICE_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = LOOPBACK, port
