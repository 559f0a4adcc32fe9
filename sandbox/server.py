"""One peer as an ASGI application: its own routes, the knobs under /sandbox/, the clock of its market."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox import bills
from sandbox.faults import FaultGate
from sandbox.fleet import Instance, State, to_document
from sandbox.peer import Peer
from sandbox.wire import Json, Refuse, read_object

Handler = Callable[[Request], Awaitable[Response]]
MOST_TICKS = 100_000
EVENTS: dict[str, State] = {"fail": "failed", "preempt": "preempted", "exit": "exited"}
BAD_KNOB = Json({"error": "The body is a JSON object."}, 400)


def build_app(peer: Peer) -> ASGIApp:
    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await peer.open()
        clock = asyncio.create_task(run_clock(peer))
        try:
            yield
        finally:
            clock.cancel()
            await peer.close()
            peer.store.close()

    async def refuse(request: Request, error: Exception) -> Response:
        response = error.response if isinstance(error, Refuse) else peer.refuse("http_500")
        return peer.dress(request, response)

    async def not_found(request: Request, _error: Exception) -> Response:
        return peer.dress(request, peer.refuse("not_found"))

    async def wrong_method(request: Request, _error: Exception) -> Response:
        return peer.dress(request, peer.refuse("method"))

    own = [limited(route, peer) for route in peer.routes()]
    app = Starlette(
        routes=[*Knobs(peer).routes(), *own],
        lifespan=lifespan,
        exception_handlers={Refuse: refuse, 404: not_found, 405: wrong_method},
    )
    return SlashGate(FaultGate(app, peer.faults, refuse=peer.refuse, creates=peer.creates))


def limited(route: Route, peer: Peer) -> Route:
    """The same route behind the provider's rate limits."""
    handler: Handler = route.endpoint

    async def guarded(request: Request) -> Response:
        return peer.dress(request, peer.limit(request) or await handler(request))

    return Route(route.path, guarded, methods=list(route.methods or ()))


async def run_clock(peer: Peer) -> None:
    while peer.options.tick_s > 0:
        await asyncio.sleep(peer.options.tick_s)
        advance(peer, 1)


def advance(peer: Peer, ticks: int) -> None:
    peer.market.tick += ticks
    peer.store.set_value("tick", peer.market.tick)
    peer.on_tick()


class SlashGate:
    """The services answer with and without a slash at the end of a path; routes are written without."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and len(scope["path"]) > 1:
            scope = {**scope, "path": scope["path"].rstrip("/")}
        await self._app(scope, receive, send)


class Knobs:
    """`/sandbox/…`: for people and tests on this machine only."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def routes(self) -> list[Route]:
        return [
            Route("/sandbox/health", self.health, methods=["GET"]),
            Route("/sandbox/faults", local(self.show_faults), methods=["GET"]),
            Route("/sandbox/faults", local(self.set_fault), methods=["POST"]),
            Route("/sandbox/tick", local(self.tick), methods=["POST"]),
            Route("/sandbox/reset", local(self.reset), methods=["POST"]),
            Route("/sandbox/instances", local(self.list_instances), methods=["GET"]),
            Route("/sandbox/instances/{id}/charge", local(self.charge), methods=["POST"]),
            Route("/sandbox/instances/{id}/{event}", local(self.happen), methods=["POST"]),
        ]

    async def health(self, _request: Request) -> Response:
        return Json({"ok": True, "peer": self._peer.options.name, "tick": self._peer.market.tick})

    async def show_faults(self, _request: Request) -> Response:
        return Json({"faults": self._peer.faults.all()})

    async def set_fault(self, request: Request) -> Response:
        wrong = self._peer.faults.change(await read_object(request, bad=BAD_KNOB))
        return Json({"error": wrong}, 400) if wrong else await self.show_faults(request)

    async def tick(self, request: Request) -> Response:
        ticks = (await read_object(request, bad=BAD_KNOB)).get("ticks", 1)
        if isinstance(ticks, bool) or not isinstance(ticks, int) or not 1 <= ticks <= MOST_TICKS:
            return Json({"error": f"ticks is a whole number from 1 to {MOST_TICKS}"}, 400)
        advance(self._peer, ticks)
        return Json({"tick": self._peer.market.tick})

    async def reset(self, _request: Request) -> Response:
        """As on the first start: no instances, no orders, no faults, tick 0."""
        await self._peer.close()
        self._peer.store.clear()
        self._peer.faults.clear()
        self._peer.market.tick = 0
        await self._peer.open()
        return Json({"ok": True})

    async def list_instances(self, _request: Request) -> Response:
        """All instances that ever were, with what they have cost up to now."""
        fleet = self._peer.fleet
        return Json({"instances": [_shown(fleet.settled(instance)) for instance in fleet.all()]})

    async def happen(self, request: Request) -> Response:
        """Let something befall an instance: its host fails, its place is taken, its process exits."""
        state = EVENTS.get(request.path_params["event"])
        instance = self._peer.fleet.get(request.path_params["id"])
        if state is None or instance is None or instance.state == "terminated":
            return Json({"error": f"no such instance, or an event other than {', '.join(EVENTS)}"}, 404)
        return Json(_shown(self._peer.fleet.end(instance, state)))

    async def charge(self, request: Request) -> Response:
        """`{"day": "2026-06-01", "usd": "1.50"}`: a sum more, or less, on the bill of an instance."""
        body = await read_object(request, bad=BAD_KNOB)
        instance = self._peer.fleet.get(request.path_params["id"])
        try:
            bills.begin_of(str(body.get("day")))
            usd = Decimal(str(body.get("usd")))
        except (ValueError, ArithmeticError):
            return Json({"error": "day is a date, usd an amount"}, 400)
        if instance is None or not usd.is_finite():
            return Json({"error": "no such instance, or no such amount"}, 404)
        return Json(_shown(self._peer.fleet.charge(instance, str(body["day"]), bills.Cost(usd))))


def _shown(instance: Instance) -> dict[str, Any]:
    return {**to_document(instance), "cost": str(instance.gpu_cost + instance.disk_cost)}


def local(handler: Handler) -> Handler:
    """Only programs on this machine: pages of a browser send an Origin, other machines another address."""

    async def guarded(request: Request) -> Response:
        host = request.client.host if request.client else ""
        if not _is_loopback(host) or "origin" in request.headers:
            return PlainTextResponse("only for programs on this machine\n", 403)
        return await handler(request)

    return guarded


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
