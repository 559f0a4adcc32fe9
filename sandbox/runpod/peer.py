"""The RunPod stand-in: REST v2 for the catalogue and pods, GraphQL for the keyless price list."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from sandbox import workload
from sandbox.bills import DAY_S, Cost, total, within
from sandbox.fleet import Instance
from sandbox.limits import Windows
from sandbox.peer import Options, Peer
from sandbox.runpod import graphql, pods
from sandbox.runpod.catalog import CatalogRoutes
from sandbox.runpod.stock import Catalogue
from sandbox.store import Store
from sandbox.wire import Json, Refuse, read_object

QUOTAS = {"minute": (1200, 60), "hour": (60_000, 3600), "day": (1_000_000, 86_400)}
TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
}
ID_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
MOST_LINES = 5000
FOLLOW_S = 0.5
MONTH_S = 30 * 86_400.0


def build(options: Options, store: Store) -> Peer:
    return RunpodPeer(options, store)


def problem(status: int, detail: str, errors: list[str] | None = None) -> Response:
    body: dict[str, Any] = {"title": TITLES[status], "status": status, "detail": detail}
    if errors:
        body["errors"] = errors
    return Json(body, status, media_type="application/problem+json")


class RunpodPeer(Peer):
    def __init__(self, options: Options, store: Store) -> None:
        super().__init__(options, store)
        self.catalogue = Catalogue(self.market, self.prices())
        self._windows = Windows(QUOTAS)

    def routes(self) -> Sequence[Route]:
        return [
            Route("/graphql", self.graphql, methods=["POST"]),
            *CatalogRoutes(self, self.catalogue).routes(),
            Route("/v2/account/ssh-keys", self.show_keys, methods=["GET"]),
            Route("/v2/account/ssh-keys", self.put_keys, methods=["PUT"]),
            Route("/v2/pods", self.list_pods, methods=["GET"]),
            Route("/v2/pods", self.create, methods=["POST"]),
            Route("/v2/pods/{id}", self.show, methods=["GET"]),
            Route("/v2/pods/{id}", self.patch, methods=["PATCH"]),
            Route("/v2/pods/{id}", self.delete, methods=["DELETE"]),
            Route("/v2/pods/{id}/action", self.act, methods=["POST"]),
            Route("/v2/pods/{id}/logs", self.logs, methods=["GET"]),
            Route("/v2/billing/pods", self.billing, methods=["GET"]),
        ]

    def refuse(self, reason: str) -> Response:
        if reason == "rate_limit":
            response = problem(429, "rate limit exceeded for the minute window")
            response.headers["Retry-After"] = "12"
            return response
        return {
            "auth": problem(401, "missing or invalid bearer token"),
            "not_found": problem(404, "resource not found"),
            "method": problem(405, "The requested method is not allowed for this path."),
        }.get(reason) or problem(500, "internal server error")

    def creates(self, method: str, path: str) -> bool:
        return method == "POST" and path == "/v2/pods"

    def limit(self, request: Request) -> Response | None:
        wait = self._windows.take()
        if wait is None:
            return None
        response = self.refuse("rate_limit")
        response.headers["Retry-After"] = str(wait)
        return response

    def dress(self, request: Request, response: Response) -> Response:
        if request.url.path.startswith("/v2/"):
            response.headers.update(self._windows.headers())
        return response

    async def graphql(self, request: Request) -> Response:
        self.check_bearer(request, required=False)
        body = await read_object(request, bad=Json({"errors": [{"message": "POST body is not JSON."}]}, 400))
        text, variables = body.get("query"), body.get("variables") or {}
        if not isinstance(text, str) or not isinstance(variables, dict):
            return Json({"errors": [{"message": "POST body needs a query, and variables are an object."}]}, 400)
        return Json(graphql.answer(self.catalogue, text, variables))

    # Keys of the account

    async def show_keys(self, request: Request) -> Response:
        self.check_bearer(request)
        return Json({"keys": self.store.value("ssh_keys", [])})

    async def put_keys(self, request: Request) -> Response:
        self.check_bearer(request)
        keys = (await read_object(request, bad=problem(400, "body is not JSON"))).get("keys")
        if not isinstance(keys, list) or not all(isinstance(key, str) and len(key.split()) >= 2 for key in keys):
            return problem(422, "Request validation failed.", ["body.keys: entries are <type> <base64-key> [comment]"])
        self.store.set_value("ssh_keys", keys)
        return Json({"keys": keys})

    # Pods

    async def list_pods(self, request: Request) -> Response:
        self.check_bearer(request)
        return Json({"pods": [pods.show(instance) for instance in self.fleet.living()]})

    async def create(self, request: Request) -> Response:
        self.check_bearer(request)
        body = await read_object(request, bad=problem(400, "body is not JSON"))
        faults = pods.find_create_faults(body)
        if faults:
            return problem(422, "Request validation failed.", faults)
        if ("gpu" in body) == ("cpu" in body):
            return problem(400, "exactly one of gpu or cpu is required")
        if "cpu" in body:
            return problem(400, "this stand-in has no CPU pods")
        return self._deploy(pods.read_wish(body), request.url.path)

    def _deploy(self, wish: pods.Wish, path: str) -> Response:
        card = self.catalogue.card(wish.gpu_id)
        if card is None:
            return problem(400, f"unknown gpu id: {wish.gpu_id}")
        center = self.catalogue.place(card, wish.cloud, wish.count, wish.centers)
        versions = [cuda for cuda in self.catalogue.cuda(card) if not wish.cuda or cuda in wish.cuda]
        if center is None or not versions or self.faults.take(path, {"no_capacity"}):
            return problem(400, "There are no longer any instances available with the requested specifications.")
        instance = self.fleet.create(
            "".join(secrets.choice(ID_LETTERS) for _ in range(14)),
            price_hour=self.catalogue.price(card, wish.cloud) * wish.count,
            disk_hour=pods.disk_price_hour(wish.disk_gb, wish.mounts),
            ports=pods.inner_ports(wish.ports),
            details={
                **asdict(wish),
                "center": center.id,
                "cuda_version": versions[0],
                "locked": False,
                "host": self.options.host,
            },
        )
        return Json(pods.show(instance), 201)

    def _pod(self, request: Request) -> Instance:
        self.check_bearer(request)
        instance = self.fleet.get(request.path_params["id"])
        if instance is None or instance.state == "terminated":
            raise Refuse(problem(404, "pod not found"))
        return instance

    async def show(self, request: Request) -> Response:
        return Json(pods.show(self._pod(request)))

    async def patch(self, request: Request) -> Response:
        """What is changed works from the next start, except the name and the lock."""
        instance = self._pod(request)
        body = await read_object(request, bad=problem(400, "body is not JSON"))
        faults = pods.find_faults(body, pods.PATCH_FIELDS)
        if faults:
            return problem(422, "Request validation failed.", faults)
        if set(body.get("mounts", {})) - set(instance.details["mounts"]):
            return problem(400, "mount kind is fixed at create")
        names = {"disk": "disk_gb"}
        kept = {names.get(name, name): value for name, value in body.items() if name not in ("templateId", "mounts")}
        return Json(pods.show(self.fleet.describe(instance, lambda details: {**details, **kept})))

    async def delete(self, request: Request) -> Response:
        self.fleet.end(self._pod(request), "terminated")
        return Response(status_code=204)

    async def act(self, request: Request) -> Response:
        instance = self._pod(request)
        body = await read_object(request, bad=problem(400, "body is not JSON"))
        action = body.get("action")
        if action not in ("start", "stop", "restart", "terminate") or set(body) != {"action"}:
            return problem(422, "Request validation failed.", ["body.action: start, stop, restart or terminate"])
        if action not in pods.ACTIONS[pods.status(instance)]:
            return problem(409, f"cannot {action} a pod that is {pods.status(instance)}")
        if instance.details["locked"] and action == "stop":
            return problem(409, "pod is locked")
        if action == "terminate":
            self.fleet.end(instance, "terminated")
            return Response(status_code=204)
        if action == "stop":
            return Json(pods.show(self.fleet.end(instance, "stopped")))
        if action == "start" and self.faults.take(request.url.path, {"no_capacity"}):
            return problem(400, "There are not enough free GPUs on the host machine to start this pod.")
        return Json(pods.show(self.fleet.start(instance)))

    # Logs

    async def logs(self, request: Request) -> Response:
        instance = self._pod(request)
        given = request.query_params
        source, tail = given.get("source"), given.get("tail", "100")
        if (
            source not in (None, "container", "system")
            or not tail.isdecimal()
            or len(tail) > 4
            or int(tail) > MOST_LINES
        ):
            return problem(422, "Request validation failed.", [f"source: container or system; tail: 0 to {MOST_LINES}"])
        try:
            since = _time(given.get("since"))
            after = _event_id(request.headers.get("last-event-id"))
        except (ValueError, OverflowError):
            return problem(422, "Request validation failed.", ["since and Last-Event-ID begin with a date-time"])
        wanted: workload.Source | None = "system" if source == "system" else "container" if source else None
        stream = self._stream(request, instance.id, wanted, max(after, (since, -1)), int(tail))
        return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    async def _stream(
        self, request: Request, id: str, source: workload.Source | None, after: tuple[float, int], tail: int
    ) -> AsyncIterator[str]:
        """The last `tail` lines after a point, then what comes, until the caller leaves or the pod stops."""
        first = True
        while not await request.is_disconnected():
            instance = self.fleet.get(id)
            if instance is None:
                return
            new = [line for line in workload.lines(instance, source) if line.key > after]
            if first:
                new = new[-tail:] if tail else []
            for line in new:
                yield _event(line)
                after = line.key
            if not new:
                yield ": keep-alive\n\n"
            if instance.state not in ("booting", "running"):
                return
            if first and tail == 0:
                after = (time.time(), -1)
            first = False
            await asyncio.sleep(FOLLOW_S)

    # Bills

    async def billing(self, request: Request) -> Response:
        """By day; what was asked for widens to whole ones."""
        self.check_bearer(request)
        given, size = request.query_params, request.query_params.get("bucketSize", "day")
        if size != "day":
            return problem(400, "this stand-in bills by day")
        if "lastN" in given and {"startTime", "endTime"} & set(given):
            return problem(400, "lastN is mutually exclusive with startTime and endTime")
        try:
            since, until = _period(given)
        except (ValueError, OverflowError):
            return problem(422, "Request validation failed.", ["startTime, endTime: RFC 3339; lastN: from 1"])
        wanted = given.get("podId")
        bills = {item.id: item for item in map(self.fleet.settled, self.fleet.all()) if wanted in (None, item.id)}
        costs = {id: days for id, item in bills.items() if (days := within(item.days, since, until))}
        records = [record for id, days in costs.items() for record in pods.billing_records(bills[id], days)]
        period = {"startTime": workload.rfc3339(since), "endTime": workload.rfc3339(until)}
        metadata = {
            "query": {**period, "bucketSize": size, "podId": wanted},
            "recordCount": len(records),
            "uniquePodCount": len(costs),
            "totals": pods.amounts(sum(map(total, costs.values()), Cost())),
        }
        return Json({"records": records, "metadata": metadata})


def _period(given: Mapping[str, str]) -> tuple[float, float]:
    """The whole days that are asked for: by default the last thirty, and today as far as it went."""
    until = -(-(_time(given.get("endTime")) or time.time()) // DAY_S) * DAY_S
    if "lastN" in given:
        if not given["lastN"].isdecimal() or int(given["lastN"]) < 1:
            raise ValueError
        return until - int(given["lastN"]) * DAY_S, until
    since = _time(given.get("startTime")) or time.time() - MONTH_S
    return since // DAY_S * DAY_S, until


def _time(text: str | None) -> float:
    """Unix seconds of an RFC 3339 time; 0 for none. Raises ValueError."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else 0.0


def _event_id(text: str | None) -> tuple[float, int]:
    """Where a reader stopped, from `2026-06-01T12:02:03Z/000000000001`."""
    if not text:
        return (0.0, -1)
    stamp, _, number = text.partition("/")
    return (_time(stamp), int(number) if number else -1)


def _event(line: workload.Line) -> str:
    data = json.dumps({"ts": line.stamp, "source": line.source, "line": line.text})
    return f"id: {line.stamp}/{line.number:012d}\ndata: {data}\n\n"
