"""Tasks of the `work` queue."""

from __future__ import annotations

from base64 import b64decode

from celery import shared_task
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection

# For about six hours: 10 s, 20 s, 40 s … with some chance added, at most an hour apart.
RETRIES = {"max_retries": 14, "retry_backoff": 10, "retry_backoff_max": 3600, "retry_jitter": True}


@shared_task(autoretry_for=(Exception,), **RETRIES)
def deliver_mail(
    *, sender: str, to: list[str], subject: str, text: str, html: str, attachments: list[dict[str, str]]
) -> None:
    """Hand one mail to the mail service; tried again while it fails."""
    message = EmailMultiAlternatives(
        subject, text, sender, to, connection=get_connection(settings.EMAIL_SERVICE_BACKEND)
    )
    if html:
        message.attach_alternative(html, "text/html")
    for file in attachments:
        message.attach(file["name"], b64decode(file["content"]), file["kind"])
    message.send()
