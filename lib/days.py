"""Days of a filter: in UTC, and both included."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TypeVar

from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _

from lib.errors import Invalid

Row = TypeVar("Row", bound=Model)


def check_days(since: date | None, until: date | None) -> None:
    """Raises Invalid beside the field."""
    if since and until and since > until:
        message = _("The last day is before the first one.")
        raise Invalid(message, fields={"until": [message]})


def of_days(rows: QuerySet[Row], column: str, since: date | None, until: date | None) -> QuerySet[Row]:
    """The rows whose `column` is in these days; without one of them there is no end on that side."""
    if since:
        rows = rows.filter(**{f"{column}__gte": _midnight(since)})
    if until and until < date.max:
        rows = rows.filter(**{f"{column}__lt": _midnight(until + timedelta(days=1))})
    return rows


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
