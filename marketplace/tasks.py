"""Celery's door to ingestion: one task for each provider, so that one that hangs delays nobody."""

from __future__ import annotations

from uuid import uuid4

from celery import shared_task
from django.conf import settings
from django.core.cache import cache

from marketplace.ingest import ingest_provider
from marketplace.models import Provider

# Longer than the slowest listing may take; a worker that was killed holds its provider back for no longer than this.
LOCK_S = 60
EXPIRES_S = 30


@shared_task
def ingest_offers() -> None:
    for slug in Provider.objects.filter(enabled=True, pk__in=settings.PROVIDERS).values_list("pk", flat=True):
        ingest_one.apply_async_on_commit(args=[slug], expires=EXPIRES_S)


@shared_task
def ingest_one(slug: str) -> None:
    """One listing at a time for each provider: a slow one is not asked again while it still answers."""
    lock, mine = f"ingest:{slug}", uuid4().hex
    if not cache.add(lock, mine, LOCK_S):
        return
    try:
        ingest_provider(slug)
    finally:
        if cache.get(lock) == mine:
            cache.delete(lock)
