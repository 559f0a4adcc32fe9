"""Tasks of the installation itself."""

from __future__ import annotations

from celery import shared_task

from config import pulse


@shared_task
def note_pulse(queue: str) -> None:
    """Sent by beat through `queue`: both are alive."""
    pulse.note_pulse(queue)
