"""Providers that do not answer: after three calls in vain nobody waits for them, until one call gets through again.

Kept in the cache, so that all workers know. Losing it costs a few slow calls and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.core.cache import cache

from marketplace.providers.base import Unreachable

FAILURES = 3
WITHIN_S = 30
OPEN_S = 10
# One call tries whether the provider is back; for so long the others go on waiting for its answer.
TRIAL_S = 15


@contextmanager
def watching(slug: str) -> Iterator[None]:
    """Around a call to a provider: remembers whether there was an answer at all."""
    try:
        yield
    except Unreachable:
        _note_failure(slug)
        raise
    if cache.get(_key("failures", slug)):
        cache.delete_many([_key(name, slug) for name in ("failures", "open", "trial")])


def is_out(slug: str) -> bool:
    """Whether to leave the provider alone now. After a while one caller, and only one, is told to try."""
    if cache.get(_key("failures", slug), 0) < FAILURES:
        return False
    return bool(cache.get(_key("open", slug))) or not cache.add(_key("trial", slug), 1, TRIAL_S)


def out_of(slugs: Iterable[str]) -> list[str]:
    """Those of the providers at which nothing new is placed now."""
    counts = cache.get_many([_key("failures", slug) for slug in slugs])
    return [slug for slug in slugs if counts.get(_key("failures", slug), 0) >= FAILURES]


def _note_failure(slug: str) -> None:
    key = _key("failures", slug)
    cache.add(key, 0, WITHIN_S)
    try:
        failures = cache.incr(key)
    except ValueError:  # it lapsed in between
        return
    if failures >= FAILURES:
        cache.set(key, failures, WITHIN_S)
        cache.set(_key("open", slug), 1, OPEN_S)


def _key(name: str, slug: str) -> str:
    return f"outage:{name}:{slug}"
