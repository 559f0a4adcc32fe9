"""Offers as an adapter would name them, with only what a test cares about said."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from marketplace.ingest import IngestResult, upsert_offers
from marketplace.providers.base import RawOffer


def raw(ref: str = "a", price: str = "2.00", **said: Any) -> RawOffer:
    facts: dict[str, Any] = {
        "gpu_name": "H100 SXM",
        "gpu_count": 1,
        "vram_gb": 80.0,
        "vcpus": 26.0,
        "ram_gb": 200.0,
        "disk_gb": 1000.0,
        "net_down_mbps": 2000.0,
        "region": "Texas, US",
        "country": "US",
        "reliability": 0.99,
        "available_count": 2,
    }
    return RawOffer(ref=ref, price_per_hour=Decimal(price), **{**facts, **said})


def offer(*raws: RawOffer, provider: str = "vast", **options: Any) -> IngestResult:
    return upsert_offers(provider, list(raws), **options)
