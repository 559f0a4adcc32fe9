"""The market's routes: public, limited by address, from the snapshot in memory."""

from __future__ import annotations

from typing import Annotated, Any

from django.core.cache import cache
from django.http import HttpRequest
from ninja import Field, Query, Router

from lib.errors import Invalid
from lib.money import money_json
from lib.rate import limit
from marketplace import search
from marketplace.gpus import GpuFacts, load_models, parse_gpu_query
from marketplace.history import model_history, offer_history
from marketplace.models import Offer
from marketplace.offers import get_offer
from marketplace.queries import OfferQuery, parse_query
from marketplace.quotes import make_quote
from marketplace.rows import row_of
from marketplace.schemas import (
    FeaturedOut,
    HistoryOut,
    ModelsOut,
    OfferDetailOut,
    OfferFilters,
    OffersOut,
    QuoteOut,
    query_of,
    show_history,
    show_model,
    show_offer,
    show_page,
)
from marketplace.summaries import get_model, summarise_models

SearchText = Annotated[str, Field(max_length=300)]
Days = Annotated[int, Field(ge=1, le=2000)]
OfferId = Annotated[str, Field(max_length=60)]

router = Router(tags=["market"], auth=None)
FEATURED = 12
FEATURED_S = 60


@router.get("/providers/featured", response=FeaturedOut, summary="The best rentable offers, at most a minute old")
def list_featured(request: HttpRequest) -> dict[str, Any]:
    limit(request, "market", per_minute=600)
    found: dict[str, Any] | None = cache.get("market:featured")
    if found is None:
        page = search.browse(OfferQuery(rentable=True, limit=FEATURED))
        found = {"items": [show_offer(row) for row in page.offers]}
        cache.set("market:featured", found, FEATURED_S)
    return found


@router.get("/providers/browse", response=OffersOut, summary="Offers by filters, ranked")
def browse(request: HttpRequest, filters: Query[OfferFilters]) -> dict[str, Any]:
    limit(request, "market", per_minute=600)
    return show_page(search.browse(parse_query(query_of(filters))))


@router.get("/gpus/search", response=ModelsOut, summary="Models by name, with what they cost now")
def search_gpus(request: HttpRequest, q: SearchText = "") -> dict[str, Any]:
    limit(request, "market", per_minute=600)
    return {"items": [show_model(one) for one in summarise_models(_models(q))]}


def _models(text: str) -> list[GpuFacts]:
    """Those that the words name exactly, else those whose name holds them."""
    words = text.strip().lower()
    if not words:
        return list(load_models())
    try:
        slugs = frozenset[str]().union(*parse_gpu_query(words))
    except Invalid:
        slugs = frozenset()
    return [model for model in load_models() if model.slug in slugs or (not slugs and words in model.name.lower())]


@router.get("/gpus/{model}/history", response=HistoryOut, summary="Lowest and median price of a model over time")
def show_model_history(
    request: HttpRequest,
    model: str,
    days: Days = 30,
    kind: Offer.Kind = Offer.Kind.ON_DEMAND,
) -> dict[str, Any]:
    limit(request, "market", per_minute=300)
    found = get_model(model)
    return show_history(found.slug, kind.value, days, model_history(found.slug, days=days, kind=kind.value))


@router.get("/offers/{offer_id}", response=OfferDetailOut, summary="One offer with the changes of its price")
def show_offer_detail(request: HttpRequest, offer_id: OfferId) -> dict[str, Any]:
    limit(request, "market", per_minute=600)
    offer = get_offer(offer_id)
    changes = [
        {"at": at, "price_per_gpu_hour": money_json(price, "USD")} for at, price in offer_history(offer, limit=500)
    ]
    return {
        "offer": show_offer(row_of(offer)),
        "withdrawn": offer.withdrawn_at is not None,
        "changes": changes,
    }


@router.post("/offers/{offer_id}/quote", response=QuoteOut, summary="Read the price again and hold it for 60 s")
def quote(request: HttpRequest, offer_id: OfferId) -> dict[str, Any]:
    limit(request, "quote", per_minute=30)
    held = make_quote(offer_id)
    return {
        "quote": held.token,
        "offer": held.offer.public_id,
        "price_per_hour": money_json(held.price_per_hour, "USD"),
        "previous_price_per_hour": money_json(held.previous_price_per_hour, "USD"),
        "expires_at": held.expires_at,
    }
