"""The life of a mail."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class MailStatus(models.TextChoices):
    KEPT = "kept", _("In the sandbox mailbox")
    WAITING = "waiting", _("Waiting to be sent")
    SENT = "sent", _("Handed to the mail service")
    FAILED = "failed", _("The mail service did not take it")


MAIL_TRANSITIONS: dict[str, frozenset[str]] = {
    MailStatus.KEPT: frozenset(),
    MailStatus.WAITING: frozenset({MailStatus.SENT, MailStatus.FAILED}),
    MailStatus.SENT: frozenset(),
    MailStatus.FAILED: frozenset({MailStatus.WAITING}),  # staff have it tried again
}
