"""What people are told: the inbox in the page, and mail."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation, User
from lib.ids import encode_id, new_id
from lib.leases import Leased
from notifications.states import MailStatus


class Notification(models.Model):
    """One message to one person, about one organisation or about themselves."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="notifications")
    organisation = models.ForeignKey(
        Organisation, on_delete=models.CASCADE, null=True, blank=True, related_name="notifications"
    )
    kind = models.CharField(_("kind"), max_length=48)
    title = models.CharField(_("title"), max_length=200)
    body = models.TextField(_("text"), blank=True)
    url = models.CharField(_("address"), max_length=400, blank=True)
    created_at = models.DateTimeField(_("sent"), db_default=Now(), editable=False)
    read_at = models.DateTimeField(_("read"), null=True, blank=True)

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["user", "-id"], name="notification_inbox"),
            models.Index(fields=["user"], condition=models.Q(read_at=None), name="notification_unread"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def public_id(self) -> str:
        return encode_id("ntf", self.pk)


class Mail(Leased):
    """A mail to one address: in SANDBOX in its reader's mailbox, else on its way to the mail service.

    What it says is emptied once the service has it.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    to = models.EmailField(_("to"), db_index=True)
    sender = models.CharField(_("from"), max_length=320)
    subject = models.CharField(_("subject"), max_length=998)
    text = models.TextField(_("text"))
    html = models.TextField(_("HTML"), blank=True)
    attachments = models.JSONField(_("attachments"), default=list, blank=True)  # name, kind, content in base64
    status = models.CharField(_("status"), max_length=8, choices=MailStatus, default=MailStatus.KEPT)
    created_at = models.DateTimeField(_("written"), db_default=Now(), editable=False)
    sent_at = models.DateTimeField(_("sent"), null=True, editable=False)

    class Meta:
        verbose_name = _("mail")
        verbose_name_plural = _("mails")
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["due_at"], condition=models.Q(status="waiting"), name="mail_waiting"),
        ]

    def __str__(self) -> str:
        return f"{self.subject} → {self.to}"

    @property
    def public_id(self) -> str:
        return encode_id("mail", self.pk)


class SandboxMailbox(models.Model):
    """Which browser may read the mail to an address before anybody signed in: the one that first signed up with it."""

    address = models.EmailField(_("address"), primary_key=True)
    holder_hash = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(_("made"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("sandbox mailbox")
        verbose_name_plural = _("sandbox mailboxes")

    def __str__(self) -> str:
        return self.address
