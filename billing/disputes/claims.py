"""What can be disputed. Pods and nodes are nouns of higher apps, which settings name: they say what was paid for a pod
to whom, and what their records tell of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Max
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from accounts.actor import Actor
from accounts.models import Organisation
from billing.models import Dispute
from lib.clock import now
from lib.errors import Conflict, Invalid

# Usage that ended longer ago is not disputed any more.
WINDOW = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Claim:
    """What one owner was paid for a pod: `earned` of `paid` is the owner's. No earlier dispute was about this usage."""

    owner: Organisation
    currency: str
    paid: Decimal
    earned: Decimal
    usage_from: datetime
    usage_until: datetime


@dataclass(frozen=True, slots=True)
class Subject:
    """A pod, whose it is, and what can be disputed of it: one claim for each owner."""

    pod_id: UUID
    pod_name: str
    renter: Organisation
    claims: list[Claim]


@dataclass(frozen=True, slots=True)
class Record:
    """Rows of our own records, flat and plain. `private`: for the renter and staff only."""

    name: str
    rows: list[dict[str, Any]]
    private: bool = False


def subject_of(actor: Actor, pod_id: str) -> Subject:
    """Raises NotFound for a pod that is not the actor's, Forbidden for a role that does not manage money."""
    find: Callable[..., Subject] = import_string(settings.DISPUTED_USAGE)
    return find(actor, pod_id, since=now() - WINDOW)


def disputed_until(pod_id: UUID, owner: Organisation) -> datetime | None:
    """Until when usage of this pod was the matter of a dispute with this owner: nothing is disputed twice."""
    last: datetime | None = Dispute.objects.filter(pod_id=pod_id, owner=owner).aggregate(last=Max("usage_until"))[
        "last"
    ]
    return last


def pick(subject: Subject, owner: str) -> Claim:
    """The claim against this owner; against the only one when nobody is named."""
    if not subject.claims:
        message = _("Nothing was paid to an owner for this pod in the last %d days that could still be disputed.")
        raise Conflict(message % WINDOW.days, code="nothing_to_dispute")
    found = [claim for claim in subject.claims if not owner or claim.owner.public_id == owner]
    if len(found) != 1:
        names = ", ".join(f"{claim.owner.public_id} ({claim.owner.name})" for claim in subject.claims)
        message = _("Name the owner whom the dispute is with, one of these: %s.") % names
        raise Invalid(message, fields={"owner": [message]})
    return found[0]


def written(moment: datetime | None) -> str:
    """A time in a record, to the second; empty when there is none."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if moment else ""


def records_of(subject: Subject, claim: Claim) -> list[Record]:
    """What every part that knows something of the pod has written down."""
    return [record for path in settings.DISPUTE_RECORDS for record in import_string(path)(subject, claim)]
