"""An offer as pages and the API show it, whether it comes from the snapshot or from the table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from lib.clock import now
from lib.ids import encode_id
from marketplace.gpus import GpuFacts, models_by_slug
from marketplace.models import Offer
from marketplace.offers import FRESH, STALE, why_not
from marketplace.pricing import AllIn, all_in
from marketplace.snapshot import ProviderFacts, facts_of


@dataclass(frozen=True, slots=True)
class OfferRow:
    """An offer as a page or the API shows it. Money is USD per hour."""

    id: UUID
    gpu: str
    count: int
    vram_gb: float
    kind: str
    source: str
    price_per_hour: Decimal
    disk_price_gb_month: Decimal | None
    egress_price_gb: Decimal | None
    all_in: AllIn
    provider: ProviderFacts
    tier: str
    region: str
    country: str
    vcpus: float | None
    ram_gb: float | None
    disk_gb: float | None
    net_down_mbps: float | None
    net_up_mbps: float | None
    reliability: float | None
    verified: bool
    available: int | None
    observed_at: datetime
    age_s: float
    score: float | None
    withdrawn: bool = False

    @property
    def reasons(self) -> list[str]:
        """Why it cannot be rented now; empty when it can."""
        return why_not(
            source=self.source,
            withdrawn=self.withdrawn,
            age_s=self.age_s,
            available=self.available,
            provider=self.provider.name,
            rentable=self.provider.rentable,
        )

    @property
    def public_id(self) -> str:
        return encode_id("off", self.id)

    @property
    def model(self) -> GpuFacts:
        return models_by_slug()[self.gpu]

    @property
    def price_per_gpu_hour(self) -> Decimal:
        return self.price_per_hour / self.count

    @property
    def all_in_per_gpu_hour(self) -> Decimal:
        return self.all_in.per_hour / self.count

    @property
    def tflops_per_cent(self) -> float | None:
        tflops = self.model.fp16_dense_tflops
        return tflops / float(self.price_per_gpu_hour * 100) if tflops else None

    @property
    def freshness(self) -> str:
        """fresh, stale (shown with a warning), old (outside medians and ranking), or static for what is not observed."""
        if self.source != Offer.Source.LIVE:
            return "static"
        if self.age_s <= FRESH.total_seconds():
            return "fresh"
        return "stale" if self.age_s <= STALE.total_seconds() else "old"

    @property
    def place(self) -> str:
        """ "Oregon, US": the provider's words, with the country's code where they lack it."""
        if not self.country or self.country in self.region.replace(",", " ").split():
            return self.region
        return f"{self.region}, {self.country}" if self.region else self.country


def row_of(offer: Offer, *, disk_gb: float = 0, egress_gb: float = 0) -> OfferRow:
    """A stored offer, withdrawn ones too. `provider` should have been fetched with it."""
    return OfferRow(
        id=offer.pk,
        gpu=offer.gpu_id,
        count=offer.gpu_count,
        vram_gb=offer.vram_gb,
        kind=offer.kind,
        source=offer.source,
        price_per_hour=offer.price_per_hour,
        disk_price_gb_month=offer.disk_price_gb_month,
        egress_price_gb=offer.egress_price_gb,
        all_in=all_in(offer, disk_gb=disk_gb, egress_gb_month=egress_gb),
        provider=facts_of(offer.provider),
        tier=offer.tier,
        region=offer.region,
        country=offer.country,
        vcpus=offer.vcpus,
        ram_gb=offer.ram_gb,
        disk_gb=offer.disk_gb,
        net_down_mbps=offer.net_down_mbps,
        net_up_mbps=offer.net_up_mbps,
        reliability=offer.reliability,
        verified=offer.verified,
        available=offer.available_count,
        observed_at=offer.observed_at,
        age_s=max(0.0, (now() - offer.observed_at).total_seconds()),
        score=None,
        withdrawn=offer.withdrawn_at is not None,
    )
