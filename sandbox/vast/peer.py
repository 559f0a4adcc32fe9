"""The Vast.ai stand-in: search, rent, list, steer, destroy, logs, charges."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sandbox import workload
from sandbox.bills import Cost, total, within
from sandbox.fleet import Instance
from sandbox.limits import Intervals
from sandbox.peer import Options, Peer
from sandbox.store import Document, Store
from sandbox.vast import machines, rental
from sandbox.vast.hardware import hardware
from sandbox.vast.machines import Ask, Machine
from sandbox.vast.search import BadQuery, matches, search
from sandbox.wire import Json, Refuse, read_object

PAGE = 25
USUAL_DISK_GB = 8.0
LOG_DELAY_S = 0.5
MOST_CHARGES = 500
TYPES = {"on-demand", "ondemand", "bid", "interruptible", "reserved"}
# Seconds between two calls, as Vast publishes its thresholds.
INTERVALS = {"search": 6.0, "create": 4.5, "destroy": 3.0, "show": 2.0, "list": 1.0, "manage": 1.0}
DENIED = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
)


def build(options: Options, store: Store) -> Peer:
    return VastPeer(options, store)


def failure(status: int, error: str, text: str, **more: Any) -> Json:
    return Json({"success": False, "error": error, "msg": text, **more}, status)


class VastPeer(Peer):
    def __init__(self, options: Options, store: Store) -> None:
        super().__init__(options, store)
        self._machines = machines.build_machines(self.market, self.prices())
        self._fixed: dict[int, Document] = {}
        self._intervals = Intervals(INTERVALS if options.strict_limits else {})

    def routes(self) -> Sequence[Route]:
        return [
            Route("/api/v0/bundles", self.find_offers, methods=["POST"], name="search"),
            Route("/api/v0/asks/{id:int}", self.create, methods=["PUT"], name="create"),
            Route("/api/v1/instances", self.list_instances, methods=["GET"], name="list"),
            Route("/api/v0/instances/{id:int}", self.show, methods=["GET"], name="show"),
            Route("/api/v0/instances/{id:int}", self.manage, methods=["PUT"], name="manage"),
            Route("/api/v0/instances/{id:int}", self.destroy, methods=["DELETE"], name="destroy"),
            Route("/api/v0/instances/reboot/{id:int}", self.reboot, methods=["PUT"], name="manage"),
            Route("/api/v0/instances/request_logs/{id:int}", self.request_logs, methods=["PUT"], name="logs"),
            Route("/api/v0/charges", self.charges, methods=["GET"], name="charges"),
            Route("/instance_logs/{file}", self.log_file, methods=["GET"], name="log_file"),
        ]

    def refuse(self, reason: str) -> Response:
        return {
            "auth": failure(401, "auth_error", "Invalid user key"),
            "rate_limit": Json({"detail": "API requests too frequent endpoint threshold=2.0"}, 429),
            "not_found": failure(404, "not_found", "Not found"),
            "method": failure(405, "method_not_allowed", "Method not allowed"),
        }.get(reason) or failure(500, "server_error", "Internal server error")

    def creates(self, method: str, path: str) -> bool:
        return method == "PUT" and path.startswith("/api/v0/asks/")

    def pace(self, endpoint: str) -> None:
        too_soon = self._intervals.take(endpoint)
        if too_soon is not None:
            text = f"API requests too frequent endpoint threshold={too_soon}"
            raise Refuse(Json({"detail": text}, 429))

    def on_tick(self) -> None:
        """Whoever bids less than the lowest bid of now loses the machine."""
        for instance in self.fleet.living():
            if not instance.details["is_bid"] or instance.state not in ("booting", "running"):
                continue
            ask = machines.present_ask(self.market, self._machines[instance.details["machine"]])
            if ask is not None and ask.lowest_bid > instance.price_hour:
                self.fleet.end(instance, "preempted")

    # Offers

    async def find_offers(self, request: Request) -> Response:
        self.check_bearer(request, required=False)
        self.pace("search")
        query = await read_object(request, bad=failure(400, "invalid_request", "Invalid json body"))
        kind, disk_gb = query.get("type", "on-demand"), query.get("allocated_storage", USUAL_DISK_GB)
        if kind not in TYPES:
            return failure(400, "invalid_request", f"type {kind} is unknown")
        if isinstance(disk_gb, bool) or not isinstance(disk_gb, int | float) or disk_gb < 0:
            return failure(400, "invalid_request", "allocated_storage is a number of GB")
        try:
            offers = search(self._offers(float(disk_gb), bid=kind in ("bid", "interruptible")), query)
        except BadQuery as error:
            return failure(400, "invalid_request", f"Error in query parameters: {error}")
        return Json({"offers": offers})

    def _offers(self, disk_gb: float, *, bid: bool) -> list[Document]:
        taken = self._taken()
        return [
            self._describe(ask, disk_gb, bid=bid, taken=ask.machine.index in taken)
            for ask in (machines.present_ask(self.market, machine) for machine in self._machines)
            if ask is not None
        ]

    def _describe(self, ask: Ask, disk_gb: float, *, bid: bool, taken: bool = False) -> Document:
        fixed = self._hardware(ask.machine)
        return machines.describe(self.market, ask, fixed, disk_gb=disk_gb, bid=bid, taken=taken)

    def _hardware(self, machine: Machine) -> Document:
        if machine.index not in self._fixed:
            self._fixed[machine.index] = hardware(self.market, machine)
        return self._fixed[machine.index]

    def _taken(self) -> set[int]:
        """Machines of instances that are not destroyed: a stopped one keeps its place here."""
        return {instance.details["machine"] for instance in self.fleet.living()}

    # Instances

    async def create(self, request: Request) -> Response:
        self.check_bearer(request)
        self.pace("create")
        ask_id = request.path_params["id"]
        body = await read_object(request, bad=failure(400, "invalid_args", "error 400/3467: Invalid json body"))
        try:
            wish = rental.read_wish(body)
        except rental.BadRequest as error:
            return failure(400, error.code, str(error), ask_id=ask_id)
        ask = self._find_ask(ask_id)
        if ask is None:
            text = f"error 404/3603: no_such_ask Instance type by id {ask_id} is not available."
            return failure(404, "invalid_args", text, ask_id=ask_id)
        if ask.busy or ask.machine.index in self._taken() or self.faults.take(request.url.path, {"no_capacity"}):
            text = f"error 410/3907: no_such_ask Instance type {ask_id} is no longer available."
            return failure(410, "no_such_ask", text, ask_id=ask_id)
        if wish.disk_gb > self._hardware(ask.machine)["disk_space"]:
            return failure(
                400, "invalid_args", "error 400/3467: Invalid args: 'disk' exceeds disk_space", ask_id=ask_id
            )
        low = wish.bid is not None and wish.bid < ask.lowest_bid
        instance = self._rent(ask, wish, stopped=low or wish.stopped)
        if low:
            # As Vast does: the refusal has already made a stopped instance, which costs disk until destroyed.
            text = f"error 400/3742: bid {wish.bid} is below min_bid {ask.lowest_bid}"
            return failure(400, "invalid_price", text, ask_id=ask_id, new_contract=int(instance.id))
        return Json({"success": True, "new_contract": int(instance.id), "instance_api_key": secrets.token_hex(32)})

    def _find_ask(self, id: int) -> Ask | None:
        index = id % 1000
        if index >= len(self._machines):
            return None
        ask = machines.present_ask(self.market, self._machines[index])
        return ask if ask is not None and ask.id == id else None

    def _rent(self, ask: Ask, wish: rental.Wish, *, stopped: bool) -> Instance:
        number = self.store.value("contracts", 12_000_000) + 1
        self.store.set_value("contracts", number)
        bid = wish.bid is not None
        price = Decimal(repr(wish.bid)) if bid else ask.price
        offer = self._describe(ask, wish.disk_gb, bid=bid)
        disk_hour = machines.disk_price_hour(ask, wish.disk_gb)
        offer |= machines.price_fields(price, disk_hour)
        return self.fleet.create(
            str(number),
            price_hour=price,
            disk_hour=disk_hour,
            ports=wish.ports,
            state="stopped" if stopped else "booting",
            details={
                **asdict(wish),
                "machine": ask.machine.index,
                "is_bid": bid,
                "host": self.options.host,
                "token": secrets.token_hex(32),
                "offer": json.loads(Json(None).render(offer)),
            },
        )

    def _instance(self, request: Request, missing: Response) -> Instance:
        self.check_bearer(request)
        instance = self.fleet.get(str(request.path_params["id"]))
        if instance is None or instance.state == "terminated":
            raise Refuse(missing)
        return instance

    async def list_instances(self, request: Request) -> Response:
        self.check_bearer(request)
        self.pace("list")
        try:
            after, limit, columns, filters = _list_query(request)
            shown = [rental.show(instance) for instance in self.fleet.living()]
            found = [item for item in shown if all(matches(item, name, rule) for name, rule in filters.items())]
        except BadQuery as error:
            code = "invalid_token" if str(error) == "Invalid pagination token" else "invalid_request"
            return Json({"error": code, "msg": f"Error in query parameters: {error}"}, 400)
        found.sort(key=lambda item: int(item["id"]))
        rest = [item for item in found if item["id"] > after]
        page = rest[:limit]
        labels: dict[str, int] = {}
        for item in found:
            labels[item["label"] or ""] = labels.get(item["label"] or "", 0) + 1
        if columns != ["*"]:
            page = [{name: item.get(name) for name in columns} | {"id": item["id"]} for item in page]
        return Json(
            {
                "success": True,
                "instances_found": len(page),
                "total_instances": len(found),
                "label_counts": labels,
                "next_token": _token(page[-1]["id"]) if len(rest) > limit else None,
                "instances": page,
            }
        )

    async def show(self, request: Request) -> Response:
        self.pace("show")
        instance = self._instance(request, failure(404, "no_such_instance", "Instance not found"))
        return Json({"instances": rental.show(instance)})

    async def manage(self, request: Request) -> Response:
        self.pace("manage")
        instance = self._instance(request, failure(404, "no_such_instance", "Instance not found"))
        body = await read_object(request, bad=failure(400, "invalid_args", "Invalid json body"))
        state, label = body.get("state"), body.get("label")
        if state not in (None, "stopped", "running") or not isinstance(label, str | None):
            return failure(400, "invalid_args", "state is stopped or running, label is text")
        if state is None and label is None:
            return failure(400, "invalid_args", "nothing to change")
        if label is not None:
            instance = self.fleet.describe(instance, lambda details: {**details, "label": label[:1024]})
        if state == "stopped" and instance.state in ("booting", "running", "exited"):
            self.fleet.end(instance, "stopped")
        elif state == "running" and instance.state in ("stopped", "preempted", "exited"):
            if self.faults.take(request.url.path, {"no_capacity"}):
                return failure(400, "resources_unavailable", "Required resources are currently unavailable")
            self.fleet.start(instance)
        return Json({"success": True})

    async def reboot(self, request: Request) -> Response:
        self.pace("manage")
        instance = self._instance(request, failure(400, "invalid_args", "invalid instance_id"))
        if instance.state == "running":
            self.fleet.start(instance)
        return Json({"success": True})

    async def destroy(self, request: Request) -> Response:
        self.pace("destroy")
        instance = self._instance(request, failure(404, "no_such_instance", "Instance not found"))
        self.fleet.end(instance, "terminated")
        return Json({"success": True, "msg": "Instance destroyed successfully"})

    # Logs and bills

    async def request_logs(self, request: Request) -> Response:
        instance = self._instance(request, failure(404, "invalid_id", "Invalid instance id."))
        body = await read_object(request, bad=failure(400, "invalid_args", "Invalid json body"))
        name = f"{secrets.token_hex(32)}.log"
        wanted = {"instance": instance.id, "at": time.time(), "tail": body.get("tail"), "filter": body.get("filter")}
        self.store.put("log", name, {**wanted, "daemon": body.get("daemon_logs") == "true"})
        return Json({"success": True, "result_url": f"{self.options.url}/instance_logs/{name}"})

    async def log_file(self, request: Request) -> Response:
        """The file appears a moment after it was asked for; before that storage answers as S3 does."""
        wanted = self.store.get("log", request.path_params["file"])
        instance = self.fleet.get(wanted["instance"]) if wanted else None
        if wanted is None or instance is None or time.time() < wanted["at"] + LOG_DELAY_S:
            return Response(DENIED, 403, media_type="application/xml")
        source: workload.Source = "system" if wanted["daemon"] else "container"
        texts = [line.text for line in workload.lines(instance, source, until=wanted["at"])]
        if wanted["filter"]:
            texts = [text for text in texts if str(wanted["filter"]) in text]
        tail = str(wanted["tail"] or "1000")
        texts = texts[-int(tail) :] if tail.isdecimal() and len(tail) < 8 and int(tail) else texts
        return PlainTextResponse("".join(f"{text}\n" for text in texts))

    async def charges(self, request: Request) -> Response:
        """One row for each instance with what it cost in the days asked for, newest first."""
        self.check_bearer(request)
        given = request.query_params
        try:
            filters = json.loads(given.get("select_filters", "{}"))
            since, until = float(filters["day"]["gte"]), float(filters["day"]["lte"])
            kinds = filters.get("type", {}).get("in", ["instance"])
            limit = max(1, min(int(given.get("limit", "100")), MOST_CHARGES))
        except (ValueError, TypeError, KeyError, AttributeError):
            return failure(400, "invalid_args", "Must provide both 'day' gte and lte filters for instance charges")
        try:
            before = _last_id(given["after_token"]) if given.get("after_token") else None
        except BadQuery as error:
            return failure(400, "invalid_token", str(error))
        bills = [self.fleet.settled(item) for item in self.fleet.all()] if "instance" in kinds else []
        rows = {int(bill.id): _charge(bill, days) for bill in bills if (days := within(bill.days, since, until))}
        left = sorted((id for id in rows if before is None or id < before), reverse=True)
        page = [rows[id] for id in left[:limit]]
        following = _token(left[limit - 1]) if len(left) > limit else None
        return Json({"success": True, "count": len(page), "total": len(rows), "next_token": following, "results": page})


def _list_query(request: Request) -> tuple[int, int, list[str], dict[str, Any]]:
    """(last id seen, page size, columns, filters) of a list request."""
    given = request.query_params
    try:
        limit = int(given.get("limit", PAGE))
        columns = json.loads(given.get("select_cols", '["*"]'))
        filters = json.loads(given.get("select_filters", "{}"))
    except ValueError:
        raise BadQuery("not JSON") from None
    if not isinstance(filters, dict) or not isinstance(columns, list):
        raise BadQuery("select_filters is an object, select_cols a list")
    unknown = set(filters) - rental.FILTERS
    if unknown:
        raise BadQuery(f"{min(unknown)} is not a valid search key")
    token = given.get("after_token")
    return (_last_id(token) if token else 0), (min(limit, PAGE) if limit > 0 else 5), columns, filters


def _token(id: int) -> str:
    return base64.b64encode(json.dumps({"values": {"id": id}}).encode()).decode()


def _last_id(token: str) -> int:
    try:
        return int(json.loads(base64.b64decode(token))["values"]["id"])
    except (ValueError, KeyError, TypeError):
        raise BadQuery("Invalid pagination token") from None


def _charge(bill: Instance, days: dict[str, Cost]) -> Document:
    start, end, cost = int(bill.created_at), int(bill.settled_at), total(days)
    span = {"start": start, "end": end}
    items: list[Document] = [
        {**span, "type": kind, "source": None, "description": text, "amount": amount, "metadata": {}, "items": []}
        for kind, text, amount in (
            ("gpu", f"at ${bill.price_hour:f}/hour", cost.gpu),
            ("disk", f"at ${bill.disk_hour:f}/hour", cost.disk),
        )
    ]
    return {
        **span,
        "type": "instance",
        "source": f"instance-{bill.id}",
        "description": f"Instance {bill.id} Charges",
        "amount": round(cost.total, 6),
        "metadata": {"label": bill.details["label"] or ""},
        "items": items,
    }
