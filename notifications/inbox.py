"""The inbox in the page: every message is kept, toasts come and go."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.db.models import QuerySet
from django.utils import translation
from django_stubs_ext import StrOrPromise

from accounts.models import Organisation, User
from accounts.organisations import people_with
from accounts.roles import Permission
from lib.clock import now
from lib.push import person_group, push
from notifications.models import Notification


def notify(
    organisation: Organisation,
    *,
    kind: str,
    title: StrOrPromise,
    body: StrOrPromise = "",
    url: str = "",
    permission: Permission = Permission.SEE_PODS,
) -> list[Notification]:
    """Tell every member who may see what it is about; `kind` is `noun.event`. Lazy texts come in the reader's language."""
    people = people_with(permission, organisation)
    return notify_people(people, kind=kind, title=title, body=body, url=url, organisation=organisation)


def notify_people(
    people: Iterable[User],
    *,
    kind: str,
    title: StrOrPromise,
    body: StrOrPromise = "",
    url: str = "",
    organisation: Organisation | None = None,
) -> list[Notification]:
    rows = []
    for person in people:
        with translation.override(person.locale or translation.get_language()):
            row = Notification(
                user=person, organisation=organisation, kind=kind, title=str(title)[:200], body=str(body), url=url
            )
        rows.append(row)
    with transaction.atomic():
        Notification.objects.bulk_create(rows)
        for row in rows:
            push(person_group(row.user_id), {"type": "notification.new", "id": row.public_id})
    return rows


def messages_of(person: User) -> QuerySet[Notification]:
    return Notification.objects.filter(user=person).select_related("organisation").order_by("-pk")


def unread_count(person: User) -> int:
    return Notification.objects.filter(user=person, read_at=None).count()


def mark_read(person: User, *, ids: Iterable[object] | None = None) -> int:
    """All of the person's messages, or those named; how many were unread."""
    rows = Notification.objects.filter(user=person, read_at=None)
    if ids is not None:
        rows = rows.filter(pk__in=list(ids))
    with transaction.atomic():
        changed = rows.update(read_at=now())
        if changed:
            push(person_group(person.pk), {"type": "notification.read"})
    return changed
