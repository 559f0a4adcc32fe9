"""The record of what people, keys and staff did: append-only, one hash chain for each organisation.

People stand in it by id only, so that erasing a person breaks no chain; nothing secret belongs into `data`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from django.db import connection, models, transaction
from django.utils.translation import gettext as _

from accounts.actor import Actor
from accounts.models import AuditEntry
from lib.clock import now
from lib.errors import Invalid
from lib.lists import MAX_LIMIT

FIRST_HASH = "0" * 64
_waiting: ContextVar[list[AuditEntry] | None] = ContextVar("entries of the open `at_the_end`", default=None)


def record(
    organisation_id: UUID,
    actor: Actor,
    action: str,
    obj: models.Model | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Append an entry in the caller's transaction. `action` is `noun.verb`; `data` holds texts, whole numbers, lists.

    It locks the organisation's chain until the transaction ends. Accounts of the ledger are locked before, never after:
    whoever posts again later does all of it inside `at_the_end`.
    """
    entry = AuditEntry(
        organisation_id=organisation_id,
        actor_kind=actor.kind,
        actor_id=actor.id,
        action=action,
        object_type=obj._meta.model_name or "" if obj is not None else "",
        object_id=str(getattr(obj, "public_id", obj.pk)) if obj is not None else "",
        data=_plain(dict(data or {})),
    )
    waiting = _waiting.get()
    if waiting is None:
        _append(entry)
    else:
        waiting.append(entry)


@contextmanager
def at_the_end() -> Iterator[None]:
    """Append what is recorded in this block when it ends, in the same transaction; a block inside another ends with it.

    A savepoint that is rolled back takes nothing back of it: what may be refused on the way records when it is through.
    """
    if _waiting.get() is not None:
        yield
        return
    entries: list[AuditEntry] = []
    token = _waiting.set(entries)
    try:
        yield
    finally:
        _waiting.reset(token)
    for entry in sorted(entries, key=lambda entry: entry.organisation_id):  # chains of several in one order, too
        _append(entry)


@transaction.atomic
def _append(entry: AuditEntry) -> None:
    _lock_chain(entry.organisation_id)
    last = AuditEntry.objects.filter(organisation_id=entry.organisation_id).order_by("-sequence").first()
    entry.sequence = last.sequence + 1 if last else 1
    entry.at = now()
    entry.previous_hash = last.hash if last else FIRST_HASH
    entry.hash = hash_entry(entry)
    entry.save(force_insert=True)


def hash_entry(entry: AuditEntry) -> str:
    """SHA-256 over the entry's canonical JSON, the hash of the one before it included."""
    body = {
        "organisation": entry.organisation_id.hex,
        "sequence": entry.sequence,
        "at": entry.at.isoformat(timespec="microseconds"),
        "actor": [entry.actor_kind, entry.actor_id],
        "action": entry.action,
        "object": [entry.object_type, entry.object_id],
        "data": entry.data,
        "previous": entry.previous_hash,
    }
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def verify_chain(organisation_id: UUID) -> list[str]:
    """What is wrong with the organisation's chain; empty when every entry fits the one before it."""
    return list(_problems(organisation_id))


def _problems(organisation_id: UUID) -> Iterator[str]:
    previous, expected = FIRST_HASH, 1
    for entry in AuditEntry.objects.filter(organisation_id=organisation_id).order_by("sequence").iterator():
        if entry.sequence != expected:
            yield f"{organisation_id}: entry {expected} is missing"
        if entry.previous_hash != previous:
            yield f"{organisation_id}: entry {entry.sequence} does not follow the one before it"
        if entry.hash != hash_entry(entry):
            yield f"{organisation_id}: entry {entry.sequence} was changed"
        previous, expected = entry.hash, entry.sequence + 1


def page_of_entries(organisation_id: UUID, *, limit: int, cursor: str | None) -> dict[str, Any]:
    """Newest first, as `lib.lists.page_of`; the cursor is a sequence number. Raises Invalid."""
    rows = AuditEntry.objects.filter(organisation_id=organisation_id)
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid(_("limit is out of range."), fields={"limit": [_("Ask for 1 to %d rows.") % MAX_LIMIT]})
    if cursor:
        if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
            raise Invalid(_("This cursor is not valid."), fields={"cursor": [_("Take it from `next`.")]})
        rows = rows.filter(sequence__lt=int(cursor))
    found = list(rows.order_by("-sequence")[: limit + 1])
    following = str(found[limit - 1].sequence) if len(found) > limit else None
    return {"items": found[:limit], "next": following}


def _lock_chain(organisation_id: UUID) -> None:
    """One writer for each chain until its transaction ends; another's entry is then seen by our next query."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"audit:{organisation_id.hex}"])


def _plain(value: Any) -> Any:
    """Only what comes back from the database exactly as it went in, else the hash would not fit: so no floats."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    raise TypeError(f"The audit log keeps no {type(value).__name__}.")
