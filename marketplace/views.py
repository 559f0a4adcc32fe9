"""Public pages: the market, one offer, models, providers."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from accounts.requests import Request
from billing.plans import public_plans
from lib.clock import now
from lib.errors import Invalid
from lib.rate import limit
from marketplace.gpus import CPU
from marketplace.history import PriceSpan, model_history, offer_history
from marketplace.models import Offer, Provider
from marketplace.offers import get_offer, own_offers
from marketplace.queries import OfferQuery, parse_query
from marketplace.regions import CONTINENTS
from marketplace.rows import row_of
from marketplace.schemas import chart_of
from marketplace.search import browse
from marketplace.search_page import failing_providers, search_page
from marketplace.summaries import get_model, market_figures, offered_models, offers_by_provider, summarise_models

LANDING_ROWS = 25
CSV_ROWS = 5000
HISTORY_DAYS = (1, 7, 30, 365, 1500)
LIVE_PATH = "/ws/"
VRAM_CHOICES = (8, 12, 16, 24, 32, 48, 80, 96, 141, 180)
COUNT_CHOICES = (1, 2, 4, 8)


@require_GET
def show_landing(request: Request) -> HttpResponse:
    extra = {"plans": public_plans(), "figures": market_figures()}
    return _market(request, "marketplace/landing.html", extra, rows=LANDING_ROWS)


@require_GET
def show_market(request: Request) -> HttpResponse:
    return _market(request, "marketplace/market.html", {"figures": market_figures()}, rows=50)


def _market(request: Request, template: str, extra: dict[str, Any], *, rows: int) -> HttpResponse:
    limit(request, "market", per_minute=600)
    search = search_page(request.path, request.GET, limit=rows)
    context = extra | {
        "search": search,
        "own": own_offers(request.actor, (row.id for row in search.rows)),
        "failing": failing_providers(),
        "live_path": LIVE_PATH,
        "continents": CONTINENTS,
        "kinds": Offer.Kind.choices,
        "sources": Offer.Source.choices,
        "vram_choices": VRAM_CHOICES,
        "count_choices": COUNT_CHOICES,
    }
    only_table = request.headers.get("HX-Target") == "market"
    answer = render(
        request, "marketplace/_market.html" if only_table else template, context, status=422 if search.errors else 200
    )
    if only_table and not search.errors:
        answer["HX-Push-Url"] = search.url
    return answer


@require_GET
def export_offers(request: HttpRequest) -> HttpResponse:
    """The table as CSV: the same rows, the same totals."""
    limit(request, "export", per_minute=30)
    values = {name: ",".join(filter(None, request.GET.getlist(name))) for name in request.GET}
    page = browse(replace(parse_query(values), page=1, limit=CSV_ROWS))
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="offers.csv"'
    writer = csv.writer(answer)
    writer.writerow(CSV_COLUMNS)
    for row in page.offers:
        writer.writerow(
            [
                row.public_id, row.count, row.model.name, row.vram_gb, row.kind, f"{row.price_per_gpu_hour:.6f}",
                f"{row.price_per_hour:.6f}", f"{row.all_in.per_hour:.6f}", row.provider.name, row.tier, row.region, row.country,
                row.vcpus, row.ram_gb, row.disk_gb, row.net_down_mbps, row.reliability, row.source,
                row.observed_at.isoformat(timespec="seconds"),
            ]
        )  # fmt: skip
    return answer


CSV_COLUMNS = (
    "offer", "gpus", "gpu", "vram_gb", "kind", "usd_per_gpu_hour", "usd_per_hour", "all_in_usd_per_hour", "provider", "tier",
    "region", "country", "vcpus", "ram_gb", "disk_gb", "net_down_mbps", "reliability", "source", "observed_at",
)  # fmt: skip


@require_GET
def show_offer(request: Request, offer_id: str) -> HttpResponse:
    limit(request, "market", per_minute=600)
    offer = get_offer(offer_id)
    job, errors = _job(request)
    changes = offer_history(offer)
    similar = [
        row
        for row in browse(OfferQuery(gpus=frozenset({offer.gpu_id}), gpu=offer.gpu_id, rentable=True, limit=6)).offers
        if row.id != offer.pk
    ]
    context = {
        "offer": offer,
        "row": row_of(offer, disk_gb=job.disk_gb, egress_gb=job.egress_gb),
        "job": job,
        "errors": errors,
        "changes": changes,
        "chart": _offer_chart(changes, offer.observed_at),
        "similar": similar[:5],
        "own": own_offers(request.actor, [offer.pk, *(row.id for row in similar)]),
        "live_path": LIVE_PATH,
    }
    return render(request, "marketplace/offer.html", context, status=422 if errors else 200)


def _job(request: HttpRequest) -> tuple[OfferQuery, dict[str, list[str]]]:
    """Disk and traffic of the reader's job; by default what the deploy page starts with."""
    values = {name: request.GET.get(name, "") for name in ("disk_gb", "egress_gb")}
    try:
        return parse_query(values if any(values.values()) else {"disk_gb": "20"}), {}
    except Invalid as wrong:
        return OfferQuery(disk_gb=20.0), wrong.fields


def _offer_chart(changes: list[tuple[datetime, Decimal]], until: datetime) -> dict[str, Any]:
    """Steps: a price holds until it changes, the last one until the offer was last seen."""
    points = [*changes, (max(until, changes[-1][0]), changes[-1][1])] if changes else []
    values = [float(price) for _at, price in points]
    return {
        "x": [at.timestamp() for at, _price in points],
        "series": [{"label": _("price per GPU-hour"), "unit": "$", "values": values}],
    }


@require_GET
def list_gpus(request: HttpRequest) -> HttpResponse:
    limit(request, "market", per_minute=600)
    return render(request, "marketplace/gpus.html", {"models": offered_models()})


@require_GET
def show_gpu(request: Request, slug: str) -> HttpResponse:
    limit(request, "market", per_minute=600)
    model = get_model(slug)
    days, spans = _history(model.slug, request.GET.get("days", ""))
    wanted = OfferQuery(gpu=model.slug, gpus=frozenset({model.slug}), limit=10)
    listed = OfferQuery(
        gpu=model.slug, gpus=frozenset({model.slug}), source=(Offer.Source.LIST_PRICE,), sort="price", limit=40
    )
    found = browse(wanted)
    context = {
        "summary": summarise_models([model])[0],
        "model": model,
        "is_cpu": model.slug == CPU,
        "spans": spans,
        "starts_late": _starts_late(spans, days),
        "chart": chart_of(spans, days),
        "days": days,
        "day_choices": HISTORY_DAYS,
        "result": found,
        "own": own_offers(request.actor, (row.id for row in found.offers)),
        "listed": browse(listed),
    }
    return render(request, "marketplace/gpu.html", context)


def _history(gpu: str, asked: str) -> tuple[int, list[PriceSpan]]:
    """Of the period asked for; else of a month, or of as much as makes a line where we have not watched for longer."""
    periods = [_days(asked)] if asked else [30, 7, 1]
    found = [(days, model_history(gpu, days=days, kind=Offer.Kind.ON_DEMAND)) for days in periods]
    return next((one for one in found if len(one[1]) > 1), found[0])


def _starts_late(spans: list[PriceSpan], days: int) -> bool:
    """Whether the history is much shorter than the period that the reader chose."""
    return days != HISTORY_DAYS[-1] and bool(spans) and now() - spans[0].at < timedelta(days=days) / 2


def _days(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text[:6]) in HISTORY_DAYS:
        return int(text)
    message = _("Choose from: %(known)s.") % {"known": ", ".join(map(str, HISTORY_DAYS))}
    raise Invalid(message, fields={"days": [message]})


@require_GET
def list_providers(request: HttpRequest) -> HttpResponse:
    """Freshness, for everybody: when each provider last answered, and how."""
    limit(request, "market", per_minute=600)
    counts = offers_by_provider()
    rows = [
        {"provider": provider, "counts": counts.get(provider.slug, {}), "live": provider.slug in settings.PROVIDERS}
        for provider in Provider.objects.filter(enabled=True).order_by("name")
    ]
    context = {
        "live": [row for row in rows if row["live"]],
        "listed": [row for row in rows if not row["live"] and row["counts"]],
        "live_path": LIVE_PATH,
    }
    return render(request, "marketplace/providers.html", context)
