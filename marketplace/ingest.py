"""From a provider's listing to our offers: read outside transactions, normalise, write what differs, tell open pages."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import F
from django.utils.translation import gettext as _

from lib.clock import now
from lib.errors import NotFound
from lib.ids import new_id
from marketplace.gpus import CPU, explain_unknown, models_by_slug, normalise_gpu
from marketplace.live import announce_offers, announce_provider
from marketplace.models import Offer, Provider
from marketplace.providers.base import ProviderError, RawOffer
from marketplace.registry import adapter_for, can_list
from marketplace.upserts import OfferRow, Written, write_offers

log = logging.getLogger(__name__)

# An offer that a faulty or empty listing does not name may still be there: it ages for so long before it is withdrawn.
UNNAMED_GRACE = timedelta(minutes=10)
# A part of a card (MIG) is not the card: less memory than the model has is refused, more (modded cards) is not.
LEAST_VRAM = 0.88
KINDS = frozenset(Offer.Kind.values)
Health = Provider.Health


@dataclass(frozen=True, slots=True)
class IngestResult:
    """`faulty`: rows that made no sense, so that the listing may lack offers. `unknown`: what we do not trade."""

    written: Written
    faulty: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


class Refused(Exception):
    """This row cannot be offered; the text says why."""


def ingest_provider(slug: str) -> IngestResult | None:
    """Read and store one provider's listing. None when it failed or cannot be read: its offers stay, and age."""
    provider = Provider.objects.filter(pk=slug, enabled=True).first()
    if provider is None:
        raise NotFound(_("There is no such provider."))
    if not can_list(slug):
        Provider.objects.filter(pk=slug).update(health=Health.UNKNOWN, last_error=_("No key is set for this listing."))
        return None
    adapter = adapter_for(slug)
    at, started = now(), time.monotonic()
    try:
        raws = adapter.list_offers()
    except ProviderError as error:
        _record_failure(provider, error, at)
        return None
    latency_ms = round((time.monotonic() - started) * 1000)
    faulty: list[str] = list(getattr(adapter, "refused", ()))
    # An empty answer where there were offers is more often a fault than the truth.
    result = _store(slug, raws, Offer.Source.LIVE, at=at, sure=bool(raws) and not faulty, faulty=faulty)
    _record_success(provider, result, latency_ms)
    return result


def upsert_offers(
    slug: str, raws: list[RawOffer], *, source: str = Offer.Source.LIVE, complete: bool = True
) -> IngestResult:
    """Store offers read elsewhere. `complete` withdraws the provider's offers of this source that are not named."""
    return _store(slug, raws, source, at=now(), complete=complete)


def _store(
    slug: str,
    raws: list[RawOffer],
    source: str,
    *,
    at: datetime,
    complete: bool = True,
    sure: bool = True,
    faulty: Sequence[str] = (),
) -> IngestResult:
    rows, unknown = normalise(raws, at)
    written = write_offers(
        slug, source, rows, at=at, complete=sure, keep_since=at - UNNAMED_GRACE, withdraw_unnamed=complete
    )
    if source == Offer.Source.LIVE and complete:
        Provider.objects.filter(pk=slug).update(last_success_at=at, last_attempt_at=at)
    if written.version is not None:
        announce_offers(written.version)
    return IngestResult(written, list(faulty), unknown)


def normalise(raws: Iterable[RawOffer], at: datetime) -> tuple[list[OfferRow], list[str]]:
    """Rows for `write_offers`, and why others were left out. What is named twice counts as it was named last."""
    rows: dict[tuple[str, str], OfferRow] = {}
    unknown = []
    for raw in raws:
        try:
            rows[raw.ref, raw.kind] = _row_of(raw, at)
        except Refused as reason:
            unknown.append(f"{raw.ref[:40]}: {reason}")
    return list(rows.values()), unknown


def _row_of(raw: RawOffer, at: datetime) -> OfferRow:
    if raw.kind not in KINDS or not 0 < len(raw.ref) <= 200 or raw.gpu_count < 1:
        raise Refused("reference, kind or count is not valid")
    if not (raw.price_per_hour.is_finite() and 0 < raw.price_per_hour < 10**6):
        raise Refused(f"the price {raw.price_per_hour} is not possible")
    return (
        new_id(),
        raw.ref,
        raw.kind,
        at,
        _gpu_of(raw),
        raw.gpu_count,
        raw.vram_gb,
        raw.price_per_hour,
        raw.disk_price_gb_month,
        raw.egress_price_gb,
        raw.vcpus,
        raw.ram_gb,
        raw.disk_gb,
        raw.net_down_mbps,
        raw.net_up_mbps,
        raw.region,
        raw.country,
        raw.tier,
        raw.form_factor,
        raw.reliability,
        raw.verified,
        raw.available_count,
        raw.max_duration_s,
        json.dumps(dict(raw.extra), allow_nan=False, default=_plain),
    )


def _gpu_of(raw: RawOffer) -> str:
    match = normalise_gpu(raw.gpu_name, vram_gb=raw.vram_gb or None, form_factor=raw.form_factor)
    if match is None:
        raise Refused(explain_unknown(raw.gpu_name))
    model = models_by_slug()[match.slug]
    if match.slug != CPU and raw.vram_gb < LEAST_VRAM * model.vram_gb:
        raise Refused(f"{raw.vram_gb:g} GB is a part of a {model.name}")
    return match.slug


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    raise TypeError(f"{type(value).__name__} does not go into JSON")


def _record_failure(provider: Provider, error: ProviderError, at: datetime) -> None:
    log.warning("%s did not list its offers: %s", provider.slug, error.message)
    Provider.objects.filter(pk=provider.pk).update(
        health=Health.FAILING,
        last_attempt_at=at,
        last_error=error.message[:300],
        failures_in_row=F("failures_in_row") + 1,
    )
    if provider.health != Health.FAILING:
        announce_provider(provider.slug)


def _record_success(provider: Provider, result: IngestResult, latency_ms: int) -> None:
    health = Health.DEGRADED if result.faulty or not result.written.seen else Health.HEALTHY
    problems = result.faulty + result.unknown
    Provider.objects.filter(pk=provider.pk).update(
        health=health,
        last_error=problems[0][:300] if problems else "",
        failures_in_row=0,
        refused_rows=len(problems),
        offers_seen=result.written.seen,
        latency_ms=latency_ms,
    )
    if provider.health != health:
        announce_provider(provider.slug)
