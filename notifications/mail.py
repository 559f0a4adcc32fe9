"""Mail to people, in their own language. Templates: `<template>_subject.txt` and `<template>_message.txt`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from accounts.models import Organisation, User
from accounts.organisations import people_with
from accounts.roles import Permission
from lib import mail


def send(to: str, template: str, context: Mapping[str, Any]) -> None:
    """Safe inside a transaction: what is rolled back is not sent."""
    locale = User.objects.filter(email=to.lower()).values_list("locale", flat=True).first()
    mail.send(to, template, context, locale=locale or "")


def send_to_members(
    organisation: Organisation,
    permission: Permission,
    template: str,
    context: Mapping[str, Any],
    *,
    attachments: Sequence[mail.Attachment] = (),
) -> int:
    """To every member who may see what it is about; how many they are. Safe inside a transaction."""
    people = people_with(permission, organisation)
    for person in people:
        mail.send(person.email, template, context, locale=person.locale, attachments=attachments)
    return len(people)
