"""Reference data: providers, GPU models, published list prices. Run again, it brings rows up to date."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from django.conf import settings

from lib.ids import new_id
from marketplace.gpus import load_models, models_by_slug
from marketplace.models import GpuModel, MarketVersion, Offer, Provider
from marketplace.registry import adapter_class
from marketplace.upserts import OfferRow, write_offers

DATA = Path(__file__).parent / "data"
PROVIDERS = DATA / "providers.csv"
LIST_PRICES = DATA / "list_prices.csv"


def seed() -> None:
    MarketVersion.objects.get_or_create(pk=1)
    seed_gpu_models()
    seed_providers()
    seed_list_prices()


def seed_gpu_models() -> None:
    rows = [
        GpuModel(
            slug=model.slug,
            name=model.name,
            vendor=model.vendor,
            architecture=model.architecture,
            form_factor=model.form_factor,
            kind=model.kind,
            vram_gb=model.vram_gb,
            memory_gb_s=model.memory_gb_s,
            fp16_tflops=model.fp16_dense_tflops,
            tdp_w=model.tdp_w,
            released_year=model.released_year,
            synonyms=list(model.synonyms),
            source=model.source,
        )
        for model in load_models()
    ]
    columns = [field.name for field in GpuModel._meta.concrete_fields if not field.primary_key]
    GpuModel.objects.bulk_create(rows, update_conflicts=True, unique_fields=["slug"], update_fields=columns)


def seed_providers() -> None:
    """Names and websites. `enabled` and health belong to staff and to ingestion."""
    with PROVIDERS.open(encoding="utf-8", newline="") as file:
        rows = [
            Provider(
                slug=row["slug"], name=row["name"], website=row["website"], capabilities=_capabilities(row["slug"])
            )
            for row in csv.DictReader(file)
        ]
    Provider.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["slug"], update_fields=["name", "website", "capabilities"]
    )


def _capabilities(slug: str) -> list[str]:
    return sorted(adapter_class(slug).capabilities) if slug in settings.PROVIDERS else []


def seed_list_prices() -> None:
    """Each provider's published prices as offers of their own source: labelled, never rentable, never too old."""
    by_provider: dict[str, list[OfferRow]] = defaultdict(list)
    for provider, row in _read_list_prices():
        by_provider[provider].append(row)
    for provider, rows in by_provider.items():
        newest = max(row[3] for row in rows)
        write_offers(provider, Offer.Source.LIST_PRICE, rows, at=newest, complete=True, keep_since=newest)


def _read_list_prices() -> Iterator[tuple[str, OfferRow]]:
    with LIST_PRICES.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield row["provider"], _list_price_row(row)


def _list_price_row(row: dict[str, str]) -> OfferRow:
    model = models_by_slug()[row["model"]]
    observed_at = datetime.fromisoformat(row["observed_on"]).replace(tzinfo=UTC)
    extra = f'{{"price_source": "{row["source"]}"}}'
    nothing = (
        None,
    ) * 7  # disk and traffic prices, vCPU, RAM, disk, net down and up: a list price says nothing of them
    return (
        new_id(),
        f"list:{row['model']}",
        row["kind"],
        observed_at,
        model.slug,
        1,
        float(row["vram_gb"]),
        Decimal(row["usd_per_gpu_hour"]),
        *nothing,
        "",
        "",
        "",
        model.form_factor,
        None,
        True,
        None,
        None,
        extra,
    )
