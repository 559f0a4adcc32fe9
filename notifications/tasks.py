"""Tasks of the `work` queue. Each may run twice or be lost: the next tick finds what is left."""

from __future__ import annotations

from celery import shared_task

from notifications import delivery


@shared_task
def deliver_mail() -> None:
    """Hand what waits to the mail service."""
    delivery.take_turn()


@shared_task
def forget_old_mail() -> None:
    delivery.forget_old_mail()
