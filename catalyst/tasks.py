from __future__ import annotations

from celery import shared_task

from catalyst import detector


@shared_task
def watch_nodes() -> None:
    detector.watch()
