"""Mail has a text and an HTML part of one source, and speaks the reader's language."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives

from notifications.channels.email import html_part
from notifications.mail import send

URL = "http://testserver/x/?a=1&b=2"
CONTEXT: dict[str, Any] = {"url": URL, "days": 7}


@pytest.mark.django_db
def test_both_parts(mailoutbox: list[EmailMultiAlternatives]) -> None:
    send("ana@example.com", "accounts/mail/invitation", CONTEXT)
    [mail] = mailoutbox
    assert URL in str(mail.body), "an address is not escaped in plain text"
    html = html_part(mail)
    assert 'href="http://testserver/x/?a=1&amp;b=2"' in html


@pytest.mark.django_db
def test_names_cannot_inject(mailoutbox: list[EmailMultiAlternatives]) -> None:
    invitation = {"organisation": {"name": "<img src=x>\nBcc: all@example.com"}}
    send("ana@example.com", "accounts/mail/invitation", CONTEXT | {"invitation": invitation})
    [mail] = mailoutbox
    assert "\n" not in mail.subject
    assert "<img" not in html_part(mail)
