"""What was paid for a pod to the owners of the machines on which it ran, and what our records say, for disputes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import CharField, Max, Min, Q, QuerySet, Sum
from django.db.models.functions import Cast

from accounts.actor import Actor
from accounts.models import Organisation
from accounts.roles import Permission
from billing.accounts import Kind, account_of, wallet_of
from billing.disputes.claims import Claim, Record, Subject, disputed_until, written
from billing.ledger import MOVING
from billing.models import Transfer
from pods.access import get_pod
from pods.models import LogLine, Payer, Placement, Pod, PodEvent, Usage

EVENTS = 200
LOG_LINES = 100
ZERO = Decimal(0)


def find_claims(actor: Actor, pod_id: str, *, since: datetime) -> Subject:
    """What can be disputed of usage that ended after `since` (settings.DISPUTED_USAGE)."""
    pod = get_pod(actor, pod_id, Permission.MANAGE_BILLING)
    paid = Usage.objects.filter(placement__pod=pod, payer=Payer.WALLET, amount__gt=0, ended_at__gt=since)
    owned = paid.exclude(placement__operator=None).exclude(placement__operator=pod.organisation)
    pairs = owned.values_list("placement__operator", "currency").distinct().order_by("placement__operator")
    owners = Organisation.objects.in_bulk({owner for owner, _currency in pairs})
    found = [_claim(pod, owned.filter(currency=currency), owners[owner], currency) for owner, currency in pairs]
    return Subject(pod.pk, pod.name, pod.organisation, [claim for claim in found if claim is not None])


def _claim(pod: Pod, usage: QuerySet[Usage], owner: Organisation, currency: str) -> Claim | None:
    """As the ledger has it. None: all of it was the matter of an earlier dispute."""
    rows = usage.filter(placement__operator=owner)
    if (before := disputed_until(pod.pk, owner)) is not None:
        rows = rows.filter(ended_at__gt=before)
    times = rows.aggregate(first=Min("started_at"), last=Max("ended_at"))
    if times["last"] is None:
        return None
    rows = rows.filter(ended_at__lte=times["last"])
    ids = rows.annotate(source=Cast("pk", CharField())).values("source")
    legs = Transfer.objects.filter(
        source_type="usage",
        source_id__in=ids,
        state__in=MOVING,
        debit_account=wallet_of(pod.organisation, currency),
    )
    theirs = Q(credit_account=account_of(owner, Kind.EARNINGS, currency))
    sums = legs.aggregate(paid=Sum("amount"), earned=Sum("amount", filter=theirs))
    if not sums["earned"]:
        return None
    return Claim(owner, currency, sums["paid"], sums["earned"], times["first"], times["last"])


def records_of(subject: Subject, claim: Claim) -> Iterable[Record]:
    """What is copied for a dispute (settings.DISPUTE_RECORDS). What the program wrote is its owner's, and staff's."""
    pod = Pod.objects.get(pk=subject.pod_id)
    window = (claim.usage_from, claim.usage_until)
    places = pod.placements.filter(operator=claim.owner, usage__ended_at__range=window).distinct()
    yield Record("usage", [_usage(place, window) for place in places.order_by("epoch", "attempt")])
    epochs = places.values("epoch")
    events = PodEvent.objects.filter(pod=pod, epoch__in=epochs, at__range=window).order_by("-id")[:EVENTS]
    yield Record("events", [_event(event) for event in reversed(events)])
    lines = LogLine.objects.filter(pod=pod, epoch__in=epochs, at__range=window).order_by("-at", "-id")[:LOG_LINES]
    rows = [{"at": written(line.at), "epoch": line.epoch, "text": line.text} for line in reversed(lines)]
    yield Record("log", rows, private=True)


def _usage(place: Placement, window: tuple[datetime, datetime]) -> dict[str, Any]:
    rows = Usage.objects.filter(placement=place, ended_at__range=window)
    sums = rows.aggregate(seconds=Sum("seconds"), amount=Sum("amount"), first=Min("started_at"), last=Max("ended_at"))
    return {
        "epoch": place.epoch,
        "from": written(sums["first"]),
        "until": written(sums["last"]),
        "seconds": sums["seconds"],
        "amount": f"{sums['amount']:f}",
        "currency": place.currency,
        "price_per_hour": f"{place.price_per_hour:f}",
        "last_seen": written(place.seen_at),
        "ended": written(place.ended_at),
        "error": place.error,
    }


def _event(event: PodEvent) -> dict[str, Any]:
    return {
        "at": written(event.at),
        "epoch": event.epoch,
        "kind": event.kind,
        "status": event.new_status,
        "reason": event.reason,
        "message": event.message,
    }
