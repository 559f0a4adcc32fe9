"""Mail to people, in their own language. Templates: `<template>_subject.txt` and `<template>_message.txt`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from accounts.models import User
from lib import mail


def send(to: str, template: str, context: Mapping[str, Any], *, attachments: Sequence[mail.Attachment] = ()) -> None:
    """Safe inside a transaction: what is rolled back is not sent."""
    locale = User.objects.filter(email=to.lower()).values_list("locale", flat=True).first()
    mail.send(to, template, context, locale=locale or "", attachments=attachments)
