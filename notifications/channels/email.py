"""Real mail: handed to a task once the transaction has committed, so that no page waits for a mail service.

The service is any Django mail backend, named by settings.EMAIL_SERVICE_BACKEND.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from notifications import tasks
from notifications.channels.sandbox_mailbox import attached, html_part


class EmailBackend(BaseEmailBackend):
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        for message in email_messages:
            tasks.deliver_mail.delay_on_commit(
                sender=message.from_email,
                to=message.recipients(),
                subject=message.subject,
                text=message.body,
                html=html_part(message),
                attachments=attached(message),
            )
        return len(email_messages)
