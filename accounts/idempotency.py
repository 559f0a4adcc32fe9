"""`@idempotent`: a POST that was sent twice answers twice the same and acts once.

    @router.post("wallets/deposit", response={201: PaymentOut})
    @idempotent
    def deposit(request: Request, body: DepositIn) -> tuple[int, dict[str, Any]]: ...

The view answers JSON-ready dicts, alone or as (status, dict). Successes are stored; a refusal frees the key, since
nothing was done. Where the process dies in between, the key is free again after `STALE`: what the view calls takes
the key too (`key_of(request)`) and does nothing twice.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Status
from ninja.params.functions import Header
from ninja.responses import NinjaJSONEncoder
from ninja.utils import contribute_operation_args

from accounts.actor import Actor
from accounts.models import IdempotencyKey
from accounts.requests import Request
from lib.clock import now
from lib.errors import AppError, Conflict, Invalid

STALE = timedelta(minutes=2)
HEADER = "Idempotency-Key"
# As the domain keeps a key: told apart from those of pages (`page-…`), whole, and in columns of 120 characters.
PREFIX = "api-"
LONGEST_KEY = 120 - len(PREFIX)
ARGUMENT = "idempotency_key"
DESCRIPTION = "A key of yours for this act, such as a UUID: sent again with it, nothing happens twice."
View = Callable[..., Any]


def idempotent(view: View) -> View:
    """Decorate a Ninja view below its route: the header `Idempotency-Key` is then needed and documented."""

    @functools.wraps(view)
    def answer_once(request: Request, *args: Any, **kwargs: Any) -> Any:
        key = _check_key(kwargs.pop(ARGUMENT))
        stored = _begin(request, key)
        if stored.status is not None:
            return Status(stored.status, stored.answer)
        try:
            status, answer = _split(view(request, *args, **kwargs))
        except BaseException:
            stored.delete()
            raise
        if status >= 400:
            stored.delete()
        else:
            IdempotencyKey.objects.filter(pk=stored.pk).update(status=status, answer=answer)
        return Status(status, answer)

    header: Any = Header(..., alias=HEADER, max_length=LONGEST_KEY, description=DESCRIPTION)
    # Ninja resolves annotations where the function was made, which for the wrapper would be this module.
    answer_once.__signature__ = inspect.signature(view, eval_str=True)  # type: ignore[attr-defined]
    contribute_operation_args(answer_once, ARGUMENT, str, header)
    return answer_once


def key_of(request: HttpRequest) -> str:
    """The key of a request of the API, as the domain keeps it."""
    return as_kept(request.headers.get(HEADER, ""))


def as_kept(key: str) -> str:
    return PREFIX + _check_key(key)


def _check_key(key: str) -> str:
    if not key.strip() or not key.isprintable() or len(key) > LONGEST_KEY:
        message = _("Send 1 to %d characters.") % LONGEST_KEY
        raise Invalid(_("The idempotency key is not valid."), fields={HEADER: [message]})
    return key


def _begin(request: Request, key: str) -> IdempotencyKey:
    """The key's row: with a stored answer, or ours to answer. Raises Conflict for another body or one in progress."""
    actor = request.actor
    if actor.organisation_id is None:
        raise AppError(_("You are not a member of an organisation."), code="not_found", status=404)
    identity = {
        "organisation_id": actor.organisation_id,
        "route": f"{request.method} {request.path}"[:120],
        "key": key,
    }
    body_hash = _hash_body(request, actor)
    with transaction.atomic():
        row, made = IdempotencyKey.objects.get_or_create(**identity, defaults={"body_hash": body_hash})
        if made:
            return row
        row = IdempotencyKey.objects.select_for_update().get(pk=row.pk)
        if row.body_hash != body_hash:
            raise Conflict(_("This key was used for another request."), code="idempotency_conflict")
        if row.status is None:
            if row.created_at > now() - STALE:
                raise Conflict(_("The first request with this key is still running."), code="in_progress")
            IdempotencyKey.objects.filter(pk=row.pk).update(created_at=now())
        return row


def _hash_body(request: Request, actor: Actor) -> str:
    """The actor belongs to it: what one person may read, another in the same organisation may not."""
    head = f"{actor.kind}:{actor.id}\n{request.META.get('QUERY_STRING', '')}\n"
    return hashlib.sha256(head.encode() + request.body).hexdigest()


def _split(result: Any) -> tuple[int, Any]:
    if isinstance(result, Status):
        result = result.status_code, result.value
    status, answer = result if isinstance(result, tuple) else (200, result)
    return status, json.loads(json.dumps(answer, cls=NinjaJSONEncoder))


def forget_old_keys(*, older_than: timedelta) -> int:
    deleted, _by_model = IdempotencyKey.objects.filter(created_at__lt=now() - older_than).delete()
    return deleted
