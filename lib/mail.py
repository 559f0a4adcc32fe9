"""Mail from templates: `<template>_subject.txt` and `<template>_message.txt`; the HTML part is made from the text.

Sending is safe inside a transaction: the backend of settings writes a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template import Context
from django.template.loader import get_template, render_to_string
from django.utils import translation


class Attachment(NamedTuple):
    name: str
    content: bytes
    kind: str  # such as application/pdf


def render_mail(to: str, template: str, context: Mapping[str, Any]) -> EmailMultiAlternatives:
    """The message in the active language. A text template has one source for both parts; addresses become links."""
    values = {"public_url": settings.PUBLIC_URL, "to": to, **context}
    subject = " ".join(_render_plain(f"{template}_subject.txt", values).split())
    text = _render_plain(f"{template}_message.txt", values).strip() + "\n"
    message = EmailMultiAlternatives(subject, text, settings.DEFAULT_FROM_EMAIL, [to])
    html = render_to_string("mail/message.html", {"subject": subject, "text": text, "public_url": settings.PUBLIC_URL})
    message.attach_alternative(html, "text/html")
    return message


def _render_plain(template: str, values: dict[str, Any]) -> str:
    """Plain text has nothing to escape: an address keeps its `&`."""
    return str(get_template(template).template.render(Context(values, autoescape=False)))  # type: ignore[attr-defined]


def send(
    to: str, template: str, context: Mapping[str, Any], *, locale: str = "", attachments: Sequence[Attachment] = ()
) -> None:
    """Render in the reader's language and hand to the mail backend of settings."""
    with translation.override(locale or translation.get_language()):
        message = render_mail(to, template, context)
        for attachment in attachments:
            message.attach(*attachment)
        message.send()
