"""`POST /graphql`: GPU types with their lowest price by data centre or country, as price readers ask for it."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

from sandbox.cards import Card
from sandbox.runpod import query
from sandbox.runpod.stock import BY_ID, DATA_CENTERS, Catalogue, Cloud, DataCenter, Level

STOCK_WORDS: dict[Level, str | None] = {"NONE": None, "LOW": "Low", "MEDIUM": "Medium", "HIGH": "High"}
COUNTS = (1, 2, 4, 8)
VCPUS_A_GPU, RAM_A_GPU_GB = 8, 48


def answer(catalogue: Catalogue, text: str, variables: dict[str, Any]) -> dict[str, Any]:
    """`{"data": …}`, or `{"errors": […]}`; both come with status 200."""
    try:
        fields = query.parse(text, variables)
        return {"data": query.select(_root(catalogue), fields)}
    except query.BadQuery as error:
        return {"errors": [{"message": str(error), "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}]}


def _root(catalogue: Catalogue) -> dict[str, Any]:
    return {
        "gpuTypes": partial(_gpu_types, catalogue),
        "dataCenters": [
            {
                "id": center.id,
                "name": center.name,
                "location": center.country,
                "listed": True,
                "storageSupport": True,
            }
            for center in DATA_CENTERS
        ],
        "countryCodes": sorted({center.country for center in DATA_CENTERS}),
    }


def _gpu_types(catalogue: Catalogue, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    wanted = _object(arguments, "input")
    ids = {wanted["id"]} if wanted.get("id") else set(wanted.get("ids") or ())
    return [_gpu_type(catalogue, card) for card in catalogue.cards if not ids or card.runpod_id in ids]


def _gpu_type(catalogue: Catalogue, card: Card) -> dict[str, Any]:
    community = catalogue.price(card, "COMMUNITY")
    secure = catalogue.price(card, "SECURE")
    return {
        "id": card.runpod_id,
        "displayName": card.runpod_name,
        "manufacturer": card.vendor.capitalize() if card.vendor == "amd" else "Nvidia",
        "memoryInGb": card.memory_gb,
        "secureCloud": True,
        "communityCloud": catalogue.in_community(card),
        "maxGpuCount": max(catalogue.most(card, "SECURE"), catalogue.most(card, "COMMUNITY")),
        "maxGpuCountSecureCloud": catalogue.most(card, "SECURE"),
        "maxGpuCountCommunityCloud": catalogue.most(card, "COMMUNITY"),
        "securePrice": secure,
        "communityPrice": community or None,
        "clusterPrice": None,
        "oneMonthPrice": None,
        "threeMonthPrice": None,
        "secureSpotPrice": None,
        "communitySpotPrice": None,
        "lowestPrice": partial(_lowest_price, catalogue, card),
    }


def _lowest_price(catalogue: Catalogue, card: Card, arguments: dict[str, Any]) -> dict[str, Any]:
    wanted = _object(arguments, "input")
    count = wanted.get("gpuCount") or 1
    if not isinstance(count, int):
        raise query.BadQuery("gpuCount must be an Int.")
    clouds = _clouds(wanted)
    places = _places(wanted)
    open_ = [
        (catalogue.price(card, cloud), cloud, center)
        for cloud in clouds
        for center in catalogue.centers(card, cloud)
        if center in places and catalogue.stock(card, cloud, center, count) != "NONE"
    ]
    if not open_:
        return _nothing()
    price, cloud, center = min(open_, key=lambda found: found[0])
    level = catalogue.stock(card, cloud, center, count)
    return {
        **_nothing(),
        "uninterruptablePrice": price,
        "minimumBidPrice": (price * Decimal("0.6")).quantize(Decimal("0.001")),
        "stockStatus": STOCK_WORDS[level],
        "minVcpu": VCPUS_A_GPU * count,
        "minMemory": RAM_A_GPU_GB * count,
        "countryCode": center.country,
        "availableGpuCounts": [n for n in COUNTS if catalogue.stock(card, cloud, center, n) != "NONE"],
        "maxUnreservedGpuCount": max(n for n in COUNTS if catalogue.stock(card, cloud, center, n) != "NONE"),
        "totalCount": 8,
        "rentedCount": 2,
    }


def _nothing() -> dict[str, Any]:
    return {
        "uninterruptablePrice": None,
        "minimumBidPrice": None,
        "stockStatus": None,
        "minVcpu": None,
        "minMemory": None,
        "minDisk": None,
        "minUpload": None,
        "minDownload": None,
        "compliance": None,
        "countryCode": None,
        "availableGpuCounts": [],
        "maxUnreservedGpuCount": 0,
        "totalCount": 0,
        "rentedCount": 0,
    }


def _clouds(wanted: dict[str, Any]) -> tuple[Cloud, ...]:
    """Without `secureCloud` both are mixed, which is the trap that readers fall into."""
    secure = wanted.get("secureCloud")
    if secure is None:
        return ("SECURE", "COMMUNITY")
    return ("SECURE",) if secure else ("COMMUNITY",)


def _places(wanted: dict[str, Any]) -> list[DataCenter]:
    center, country = wanted.get("dataCenterId"), wanted.get("countryCode")
    if center:
        return [BY_ID[center]] if center in BY_ID else []
    return [place for place in DATA_CENTERS if not country or place.country == country]


def _object(arguments: dict[str, Any], name: str) -> dict[str, Any]:
    value = arguments.get(name) or {}
    if not isinstance(value, dict):
        raise query.BadQuery(f"{name} must be an object.")
    return value
