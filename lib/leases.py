"""Claiming due rows: a lease says who works on a row and until when, by the database's clock.

claim (this module, one short transaction) → act (no transaction) → apply (`WHERE lease_token = …`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar
from uuid import UUID, uuid4

from django.db import models, transaction
from django.db.models import Case, F, Q, When
from django.db.models.functions import Now


class Leased(models.Model):
    """Columns of an object that a reconciler works on."""

    due_at = models.DateTimeField(db_default=Now(), db_index=True)
    lease_token = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    failures = models.PositiveIntegerField(default=0)
    last_error = models.TextField(blank=True, default="")

    class Meta:
        abstract = True


Row = TypeVar("Row", bound=Leased)


def claim_due(queryset: models.QuerySet[Row], *, limit: int, seconds: float) -> list[Row]:
    """Up to `limit` rows of `queryset` that are due and unclaimed, each now carrying our fresh lease token.

    Rows that another worker holds are skipped, not waited for. An expired lease is anybody's.
    """
    due = queryset.filter(Q(lease_until=None) | Q(lease_until__lt=Now()), due_at__lte=Now()).order_by("due_at")
    with transaction.atomic():
        rows = list(due.select_for_update(skip_locked=True, no_key=True, of=("self",))[:limit])
        for row in rows:
            row.lease_token = uuid4()
        model = queryset.model
        for row in rows:
            model._base_manager.filter(pk=row.pk).update(
                lease_token=row.lease_token, lease_until=Now() + timedelta(seconds=seconds)
            )
    return rows


def release(row: Leased, *, due_in: float) -> bool:
    """Give the row back, due again in `due_in` seconds. False when the lease was lost meanwhile."""
    return _give_back(row, due_in=due_in, failures=0, last_error="")


def release_failed(row: Leased, error: str, *, longest: float = 300.0) -> bool:
    """Give a row back after an unexpected error: later each time, with the reason kept."""
    wait = min(longest, 2.0 ** min(row.failures, 12))
    return _give_back(row, due_in=wait, failures=row.failures + 1, last_error=error[:2000])


def _give_back(row: Leased, *, due_in: float, failures: int, last_error: str) -> bool:
    model = type(row)
    changed = model._base_manager.filter(pk=row.pk, lease_token=row.lease_token).update(
        # A hint that came while we worked has moved `due_at` past our claim: it must not be lost.
        due_at=Case(
            When(due_at__gt=row.due_at, then=F("due_at")),
            default=Now() + timedelta(seconds=due_in),
        ),
        lease_token=None,
        lease_until=None,
        failures=failures,
        last_error=last_error,
    )
    return changed == 1


def hint(model: type[Leased], pk: UUID) -> None:
    """Make a row due now, whoever holds it: its next look happens at once after the present one."""
    model._base_manager.filter(pk=pk).update(due_at=Now())
