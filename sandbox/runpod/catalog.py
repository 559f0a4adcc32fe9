"""`/v2/catalog/…`: GPU types and data centres, with stock on request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.cards import Card
from sandbox.peer import Peer
from sandbox.runpod.stock import DATA_CENTERS, ORDER, Catalogue, Cloud, DataCenter
from sandbox.wire import Json

PRODUCTS = ("POD", "CLUSTER", "SERVERLESS")
CERTIFICATES = ("SOC_2_TYPE_2", "ISO_IEC_27001")


class CatalogRoutes:
    def __init__(self, peer: Peer, catalogue: Catalogue) -> None:
        self._peer = peer
        self._catalogue = catalogue

    def routes(self) -> Sequence[Route]:
        return [
            Route("/v2/catalog/gpus", self.list_gpus, methods=["GET"]),
            Route("/v2/catalog/gpus/{id}", self.show_gpu, methods=["GET"]),
            Route("/v2/catalog/datacenters", self.list_centers, methods=["GET"]),
        ]

    async def list_gpus(self, request: Request) -> Response:
        self._peer.check_bearer(request)
        wrong = _wrong(request)
        if wrong:
            return _bad(wrong)
        return Json({"gpus": [self._gpu(card, request) for card in self._catalogue.cards]})

    async def show_gpu(self, request: Request) -> Response:
        self._peer.check_bearer(request)
        wrong = _wrong(request)
        if wrong:
            return _bad(wrong)
        card = self._catalogue.card(request.path_params["id"])
        return Json(self._gpu(card, request)) if card else self._peer.refuse("not_found")

    def _gpu(self, card: Card, request: Request) -> dict[str, Any]:
        body = self._catalogue.describe(card)
        given = request.query_params
        if given.get("include") != "AVAILABILITY":
            return body
        cloud: Cloud = "COMMUNITY" if given.get("cloud") == "COMMUNITY" else "SECURE"
        count, countries = int(given.get("count", "1")), _words(given.get("countryCodes", ""))
        centers = [
            {"id": center.id, "name": center.name, "availability": self._catalogue.stock(card, cloud, center, count)}
            for center in self._catalogue.centers(card, cloud)
            if not countries or center.country in countries
        ]
        body["dataCenters"] = [center for center in centers if center["availability"] != "NONE"]
        body["availability"] = self._catalogue.best_stock(card, cloud, count, countries)
        free = body["availability"] != "NONE"
        body["cudaVersions"] = [{"version": version, "available": free} for version in self._catalogue.cuda(card)]
        return body

    async def list_centers(self, request: Request) -> Response:
        self._peer.check_bearer(request)
        given = request.query_params
        regions = _words(given.get("regions", ""))
        included = _words(given.get("include", ""))
        shown = [center for center in DATA_CENTERS if not regions or center.region in regions]
        return Json({"dataCenters": [self._center(center, included) for center in shown]})

    def _center(self, center: DataCenter, included: set[str]) -> dict[str, Any]:
        body: dict[str, Any] = {
            "id": center.id,
            "name": center.name,
            "region": center.region,
            "globalNetwork": center.country != "AU",
            "networkVolumeTypes": ["STANDARD"],
            "compliance": [*CERTIFICATES, *(["GDPR"] if center.region == "EUROPE" else [])],
        }
        if "GPU_AVAILABILITY" in included:
            body["gpuAvailability"] = [
                {"id": card.runpod_id, "name": card.runpod_name, "availability": level}
                for card in self._catalogue.cards
                if (level := self._level(card, center)) is not None
            ]
        return body

    def _level(self, card: Card, center: DataCenter) -> str | None:
        """The better of both clouds; None where the card does not stand."""
        clouds: tuple[Cloud, ...] = ("SECURE", "COMMUNITY")
        levels = [
            self._catalogue.stock(card, cloud, center)
            for cloud in clouds
            if center in self._catalogue.centers(card, cloud)
        ]
        return max(levels, key=ORDER.index) if levels else None


def _wrong(request: Request) -> str | None:
    given = request.query_params
    if given.get("include") not in (None, "AVAILABILITY"):
        return "include: AVAILABILITY"
    if given.get("include") and given.get("product") not in PRODUCTS:
        return "product is required with include"
    if given.get("cloud") not in (None, "SECURE", "COMMUNITY"):
        return "cloud: SECURE or COMMUNITY"
    count = given.get("count", "1")
    if not count.isdecimal() or len(count) > 2 or not 1 <= int(count) <= 64:
        return "count: a whole number from 1"
    return None


def _bad(detail: str) -> Response:
    body = {"title": "Bad Request", "status": 400, "detail": detail}
    return Json(body, 400, media_type="application/problem+json")


def _words(text: str) -> set[str]:
    return {word for word in text.split(",") if word}
