"""The market's shapes in the API."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from ninja import Field, Schema

from lib.money import money_json
from lib.schemas import Money
from marketplace.gpus import GpuFacts
from marketplace.history import PriceSpan, step_for
from marketplace.queries import RANKINGS, SORTS
from marketplace.rows import OfferRow
from marketplace.search import OfferPage
from marketplace.summaries import ModelSummary


class OfferFilters(Schema):
    """Lists are words with commas between them."""

    gpu: str | None = Field(None, description="Models with synonyms: “h100 sxm, A100 80, rtx4090”", max_length=300)
    min_vram: float | None = Field(None, ge=0, le=10_000, description="GB per GPU")
    max_vram: float | None = Field(None, ge=0, le=10_000)
    count: int | None = Field(None, ge=1, le=1024, description="GPUs in one machine, exactly")
    min_count: int | None = Field(None, ge=1, le=1024)
    min_price: float | None = Field(None, ge=0, le=1_000_000)
    max_price: float | None = Field(None, ge=0, le=1_000_000, description="USD per GPU-hour with everything")
    provider: str | None = Field(None, max_length=600)
    not_provider: str | None = Field(None, max_length=600)
    region: str | None = Field(None, max_length=600, description="Country codes, continents, or words of region names")
    not_region: str | None = Field(None, max_length=600)
    kind: str | None = Field(None, description="on_demand, spot, reserved")
    source: str | None = Field(None, description="live (default), list_price, catalog")
    min_reliability: float | None = Field(None, ge=0, le=100, description="0…1 or per cent")
    min_vcpus: float | None = Field(None, ge=0, le=100_000)
    min_ram: float | None = Field(None, ge=0, le=1_000_000, description="GB")
    min_disk: float | None = Field(None, ge=0, le=10_000_000, description="GB")
    min_net: float | None = Field(None, ge=0, le=10_000_000, description="Mbit/s down")
    unverified: bool | None = Field(None, description="Show unverified offers too")
    rentable: bool | None = Field(None, description="Only what can be rented here now")
    disk_gb: float | None = Field(None, ge=0, le=1_000_000, description="Disk of your job: part of the price")
    egress_gb: float | None = Field(None, ge=0, le=10_000_000, description="Traffic out of your job, GB a month")
    sort: str | None = Field(None, description=f"{', '.join(SORTS)}; “-price” is the other way round")
    ranking: str | None = Field(None, description=f"{' or '.join(RANKINGS)}")
    w_price: int | None = Field(None, ge=0, le=100)
    w_performance: int | None = Field(None, ge=0, le=100)
    w_reliability: int | None = Field(None, ge=0, le=100)
    w_vram: int | None = Field(None, ge=0, le=100)
    w_net: int | None = Field(None, ge=0, le=100)
    page: int | None = Field(None, ge=1, le=100_000)
    limit: int | None = Field(None, ge=1, le=200)


class OfferOut(Schema):
    id: str
    gpu: str
    gpu_name: str
    vendor: str
    count: int
    vram_gb: float
    kind: str
    source: str
    price_per_gpu_hour: Money
    price_per_hour: Money
    all_in_per_hour: Money
    all_in_complete: bool
    disk_price_gb_month: Money | None
    egress_price_gb: Money | None
    provider: str
    provider_name: str
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
    tflops_fp16: float | None
    score: float | None
    freshness: str
    observed_at: datetime
    rentable: bool
    why_not: list[str]


class OffersOut(Schema):
    items: list[OfferOut]
    total: int
    page: int
    pages: int
    hidden_unverified: int
    hidden_sources: dict[str, int]
    version: int


class FeaturedOut(Schema):
    items: list[OfferOut]


class ModelOut(Schema):
    slug: str
    name: str
    vendor: str
    architecture: str
    form_factor: str
    kind: str
    vram_gb: float
    memory_gb_s: float | None
    fp16_tflops: float | None
    tdp_w: int | None
    released_year: int | None
    synonyms: list[str]
    source: str
    live_offers: int
    lowest_per_gpu_hour: Money | None
    median_per_gpu_hour: Money | None
    lowest_spot_per_gpu_hour: Money | None
    lowest_list_price: Money | None


class ModelsOut(Schema):
    items: list[ModelOut]


class PricePointOut(Schema):
    at: datetime
    lowest: Money
    median: Money
    count: int


class HistoryOut(Schema):
    """`items` for programs; `x` and `series` are the same for a chart."""

    gpu: str
    kind: str
    days: int
    items: list[PricePointOut]
    x: list[float]
    series: list[dict[str, Any]]


class PriceChangeOut(Schema):
    at: datetime
    price_per_gpu_hour: Money


class OfferDetailOut(Schema):
    offer: OfferOut
    withdrawn: bool
    changes: list[PriceChangeOut]


class QuoteOut(Schema):
    quote: str
    offer: str
    price_per_hour: Money
    previous_price_per_hour: Money
    expires_at: datetime


def _usd(amount: Any) -> dict[str, Any] | None:
    return None if amount is None else money_json(amount, "USD")


def show_offer(row: OfferRow) -> dict[str, Any]:
    model = row.model
    reasons = row.reasons
    return {
        "id": row.public_id,
        "gpu": row.gpu,
        "gpu_name": model.name,
        "vendor": model.vendor,
        "count": row.count,
        "vram_gb": row.vram_gb,
        "kind": row.kind,
        "source": row.source,
        "price_per_gpu_hour": _usd(row.price_per_gpu_hour),
        "price_per_hour": _usd(row.price_per_hour),
        "all_in_per_hour": _usd(row.all_in.per_hour),
        "all_in_complete": row.all_in.complete,
        "disk_price_gb_month": _usd(row.disk_price_gb_month),
        "egress_price_gb": _usd(row.egress_price_gb),
        "provider": row.provider.slug,
        "provider_name": row.provider.name,
        "tier": row.tier,
        "region": row.region,
        "country": row.country,
        "vcpus": row.vcpus,
        "ram_gb": row.ram_gb,
        "disk_gb": row.disk_gb,
        "net_down_mbps": row.net_down_mbps,
        "net_up_mbps": row.net_up_mbps,
        "reliability": row.reliability,
        "verified": row.verified,
        "available": row.available,
        "tflops_fp16": model.fp16_dense_tflops,
        "score": row.score,
        "freshness": row.freshness,
        "observed_at": row.observed_at,
        "rentable": not reasons,
        "why_not": reasons,
    }


def show_page(page: OfferPage) -> dict[str, Any]:
    return {
        "items": [show_offer(row) for row in page.offers],
        "total": page.total,
        "page": page.page,
        "pages": page.pages,
        "hidden_unverified": page.hidden_unverified,
        "hidden_sources": page.hidden_sources,
        "version": page.version,
    }


def show_model(summary: ModelSummary) -> dict[str, Any]:
    model: GpuFacts = summary.model
    return {
        "slug": model.slug,
        "name": model.name,
        "vendor": model.vendor,
        "architecture": model.architecture,
        "form_factor": model.form_factor,
        "kind": model.kind,
        "vram_gb": model.vram_gb,
        "memory_gb_s": model.memory_gb_s,
        "fp16_tflops": model.fp16_dense_tflops,
        "tdp_w": model.tdp_w,
        "released_year": model.released_year,
        "synonyms": list(model.synonyms),
        "source": model.source,
        "live_offers": summary.live_offers,
        "lowest_per_gpu_hour": _usd(summary.lowest),
        "median_per_gpu_hour": _usd(summary.median),
        "lowest_spot_per_gpu_hour": _usd(summary.lowest_spot),
        "lowest_list_price": _usd(summary.lowest_list_price),
    }


def show_history(gpu: str, kind: str, days: int, spans: list[PriceSpan]) -> dict[str, Any]:
    items = [
        {"at": span.at, "lowest": _usd(span.lowest), "median": _usd(span.median), "count": span.count} for span in spans
    ]
    return {"gpu": gpu, "kind": kind, "days": days, "items": items, **chart_of(spans, days)}


def chart_of(spans: list[PriceSpan], days: int) -> dict[str, Any]:
    """What static/js/charts.js draws, a gap where nothing was seen. The exact values stand in `items`."""
    widest = step_for(days) * 1.5
    x: list[float] = []
    median: list[float | None] = []
    lowest: list[float | None] = []
    for n, span in enumerate(spans):
        if n and span.at - spans[n - 1].at > widest:
            x.append(spans[n - 1].at.timestamp() + 1)
            median.append(None)
            lowest.append(None)
        x.append(span.at.timestamp())
        median.append(float(span.median))
        lowest.append(float(span.lowest))
    return {
        "x": x,
        "series": [
            {"label": _("median"), "unit": "$", "values": median},
            {"label": _("lowest"), "unit": "$", "values": lowest},
        ],
    }


def query_of(filters: OfferFilters) -> dict[str, Any]:
    return {name: value for name, value in filters.dict().items() if value is not None}
