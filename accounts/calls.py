"""How often an organisation calls the API: a counter a month in Valkey, for the dashboard and not for billing."""

from __future__ import annotations

from uuid import UUID

from django.core.cache import cache

from lib.clock import now

KEPT_S = 70 * 24 * 3600


def _key(organisation_id: UUID) -> str:
    return f"api-calls:{organisation_id.hex}:{now():%Y%m}"


def count_call(organisation_id: UUID) -> None:
    key = _key(organisation_id)
    cache.add(key, 0, KEPT_S)
    cache.incr(key)


def calls_this_month(organisation_id: UUID) -> int:
    return int(cache.get(_key(organisation_id), 0))
