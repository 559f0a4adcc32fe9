"""The mail backend: a mail becomes a row in the transaction of whoever sends it.

Where settings.EMAIL_SERVICE_BACKEND names a mail service, any mail backend of Django's, a worker hands it over once the
transaction has committed (notifications.delivery). Else nothing leaves the machine: its reader finds it under /mailbox/.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from email.utils import parseaddr

from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction

from notifications import tasks
from notifications.models import Mail
from notifications.states import MailStatus

HINT_EXPIRES_S = 10  # by then the tick has come


class EmailBackend(BaseEmailBackend):
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        leaves = bool(settings.EMAIL_SERVICE_BACKEND)
        status = MailStatus.WAITING if leaves else MailStatus.KEPT
        Mail.objects.bulk_create(
            [_row(message, to, status) for message in email_messages for to in message.recipients()]
        )
        if leaves:
            transaction.on_commit(_hint, robust=True)  # what is committed stands when there is no broker
        return len(email_messages)


def _hint() -> None:
    tasks.deliver_mail.apply_async_on_commit(expires=HINT_EXPIRES_S)


def _row(message: EmailMessage, to: str, status: MailStatus) -> Mail:
    return Mail(
        to=parseaddr(to)[1].lower(),
        sender=message.from_email,
        subject=str(message.subject),
        text=str(message.body),
        html=html_part(message),
        attachments=attached(message),
        status=status,
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
