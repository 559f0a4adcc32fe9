"""Which offers a pod can go to, best first."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Case, F, IntegerField, Q, QuerySet, Value, When

from billing.credits import current_rates
from lib.clock import now
from marketplace.gpus import CPU, parse_gpu_query
from marketplace.models import Offer
from marketplace.offers import FRESH
from pods import outages
from pods.models import Payer, Placement, Pod, PodSpec
from pods.pricing import OWN_NODES, price_ceiling

# A node that was lost may come back; not at once.
LOST_COOLDOWN = timedelta(seconds=60)
REFUSED_COOLDOWN = timedelta(minutes=10)
LIMIT = 20


def choose_offers(spec: PodSpec, exclude: Collection[UUID] = ()) -> list[Offer]:
    """Rentable offers that fit, best first: the chosen one, then the kind of place it had before, then by price."""
    quoted = spec.quoted_price_per_hour if isinstance(spec, Pod) else None
    found = _fitting(spec).exclude(pk__in=list(exclude)).exclude(provider_id__in=outages.out_of(settings.PROVIDERS))
    ceiling = price_ceiling(spec, quoted)
    if ceiling is not None:
        found = found.filter(price_per_hour__lte=ceiling)
    chosen = getattr(spec, "offer_id", None)
    if not spec.auto_select and chosen is not None:
        found = found.filter(pk=chosen)
    before = _provider_before(spec)
    return list(
        found.annotate(
            wish=Case(
                When(pk=chosen, then=Value(0)),
                When(provider_id=before, then=Value(1)),
                default=Value(2),
                output_field=IntegerField(),
            )
        )
        .select_related("provider", "gpu")
        .order_by(
            "wish",
            "price_per_hour",
            F("reliability").desc(nulls_last=True),
            F("available_count").desc(nulls_last=True),
            "pk",
        )[:LIMIT]
    )


def offers_to_avoid(pod: Pod) -> set[UUID]:
    """Offers that refused this pod in the present search, or a while ago and are not its own choice, and lost places."""
    tried = Q(status=Placement.Status.REFUSED) & (
        Q(requested_at__gte=pod.seeking_since) | (Q(requested_at__gte=now() - REFUSED_COOLDOWN) & ~Q(offer=pod.offer))
    )
    ended = (Placement.Status.ENDING, Placement.Status.LOST, Placement.Status.GONE)
    given_up = Q(status__in=ended, requested_at__gte=pod.seeking_since, reached_at=None)
    lost = Q(status=Placement.Status.LOST, ended_at__gte=now() - LOST_COOLDOWN)
    rows = pod.placements.filter(tried | given_up | lost)
    return {row.offer_id for row in rows if row.offer_id is not None}


def rentable_providers(spec: PodSpec) -> list[str]:
    """Slugs of providers at which this spec can be paid for."""
    if spec.payer == Payer.CREDITS:
        return [OWN_NODES]
    if spec.payer == Payer.OWN_KEY:
        return [spec.provider_account.provider_id] if spec.provider_account else []
    return [slug for slug in settings.PROVIDERS if slug not in settings.PROVIDER_KEYS or settings.PROVIDER_KEYS[slug]]


def _fitting(spec: PodSpec) -> QuerySet[Offer]:
    found = Offer.objects.filter(
        Q(available_count=None) | Q(available_count__gt=0),
        source=Offer.Source.LIVE,
        withdrawn_at=None,
        observed_at__gte=now() - FRESH,
        provider_id__in=rentable_providers(spec),
        provider__enabled=True,
        provider__capabilities__contains=["rent"],
        kind=spec.kind,
        gpu_count=spec.gpu_count,
        vram_gb__gte=spec.min_vram_gb,
    )
    if spec.payer == Payer.CREDITS:
        found = found.filter(gpu_id__in=[rate.resource for rate in current_rates(now())])
    if spec.gpu_query:
        slugs: frozenset[str] = frozenset().union(*parse_gpu_query(spec.gpu_query))
        found = found.filter(gpu_id__in=slugs)
    elif spec.payer != Payer.CREDITS:
        # A processor is no substitute for a card, unless it was asked for.
        found = found.filter(~Q(gpu_id=CPU) | Q(pk=getattr(spec, "offer_id", None)))
    if spec.region:
        found = found.filter(Q(region__icontains=spec.region) | Q(country__iexact=spec.region))
    return found.filter(Q(disk_gb=None) | Q(disk_gb__gte=spec.disk_gb))


def _provider_before(spec: PodSpec) -> str | None:
    """A pod with checkpoints on our own nodes goes to another of them first."""
    if not isinstance(spec, Pod):
        return None
    return spec.placements.order_by("-epoch", "-attempt").values_list("provider_id", flat=True).first()
