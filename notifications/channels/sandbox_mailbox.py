"""The mail backend of SANDBOX: a mail becomes a row, which its reader finds under /mailbox/. Nothing leaves the machine."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from email.utils import parseaddr

from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend

from notifications.models import SandboxMail


class EmailBackend(BaseEmailBackend):
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        rows = [_row(message, to) for message in email_messages for to in message.recipients()]
        SandboxMail.objects.bulk_create(rows)
        return len(email_messages)


def _row(message: EmailMessage, to: str) -> SandboxMail:
    return SandboxMail(
        to=parseaddr(to)[1].lower(),
        sender=message.from_email,
        subject=str(message.subject),
        text=str(message.body),
        html=html_part(message),
        attachments=attached(message),
    )


def html_part(message: EmailMessage) -> str:
    if not isinstance(message, EmailMultiAlternatives):
        return ""
    return next((str(content) for content, kind in message.alternatives if kind == "text/html"), "")


def attached(message: EmailMessage) -> list[dict[str, str]]:
    """The files of a mail as JSON: `name`, `kind` and `content` in base64."""
    return [
        {"name": str(name), "kind": str(kind), "content": b64encode(content).decode()}
        for name, content, kind in message.attachments
        if isinstance(content, bytes)
    ]
