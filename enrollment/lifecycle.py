"""The only writer of an enrolment's status."""

from __future__ import annotations

from typing import Any

from enrollment.models import Enrolment
from enrollment.states import EnrolmentStatus, may_follow


def switch_enrolment(enrolment: Enrolment, to: EnrolmentStatus, **columns: Any) -> bool:
    """Compare-and-set with the columns that belong to the step. False when another request was first."""
    if not may_follow(enrolment.status, to):
        return False
    changed = Enrolment.objects.filter(pk=enrolment.pk, status=enrolment.status).update(status=to, **columns)
    enrolment.refresh_from_db()
    return changed == 1
