"""Tasks of the `work` queue."""

from __future__ import annotations

from celery import shared_task

from enrollment import checkout


@shared_task
def finish_paid() -> None:
    """Keys for those who paid and did not come back."""
    checkout.finish_paid()
