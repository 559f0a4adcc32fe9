"""Mail has a text and an HTML part of one source, speaks the reader's language, and waits for the commit."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives

from notifications.channels.sandbox_mailbox import html_part
from notifications.mail import send
from notifications.tasks import deliver_mail

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


@pytest.mark.django_db(transaction=True)
def test_real_mail_waits_for_the_commit(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import transaction

    settings.EMAIL_BACKEND = "notifications.channels.email.EmailBackend"
    queued: list[dict[str, Any]] = []
    monkeypatch.setattr(deliver_mail, "apply_async", lambda _args, kwargs, **_more: queued.append(kwargs))
    with transaction.atomic():
        send("ana@example.com", "accounts/mail/invitation", CONTEXT)
        assert queued == []
    assert queued[0]["to"] == ["ana@example.com"]


def test_task_hands_it_to_the_service(settings: Any, mailoutbox: list[EmailMessage]) -> None:
    settings.EMAIL_SERVICE_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    deliver_mail(
        sender="us@example.com",
        to=["ana@example.com"],
        subject="Hello",
        text="Text",
        html="<p>Text</p>",
        attachments=[{"name": "a.pdf", "kind": "application/pdf", "content": "JVBERi0="}],
    )
    assert mailoutbox[0].subject == "Hello"
    assert mailoutbox[0].attachments == [("a.pdf", b"%PDF-", "application/pdf")]
