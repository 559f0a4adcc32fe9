"""Faults on demand: what a provider does on its bad days, switched on through `POST /sandbox/faults`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Answered before the peer sees the request.
BEFORE = {"http_500", "html", "hang", "huge", "slow", "auth", "rate_limit"}
# Done to the peer's own answer.
AFTER = {"missing_fields", "negative_prices", "drop_answer_after_create"}
# Asked for by the peers' handlers.
INSIDE = {"no_capacity"}
MODES = BEFORE | AFTER | INSIDE

HUGE_BYTES = 12 * 1024 * 1024
LONGEST_S = 86_400.0
LONGEST_HANG_S = 600.0
PRICE_WORDS = ("price", "dph", "cost", "bid", "secure", "community", "serverless", "hour", "amount")
PRICE_NAMES = {"min", "max", "avg", "med", "weightedAverage"}
HTML = "<!doctype html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"


@dataclass(slots=True)
class Fault:
    """`until` is of the monotonic clock; `left` counts the requests it will still meet; None means for ever."""

    mode: str
    path: str
    until: float | None
    left: int | None
    delay_s: float

    @property
    def over(self) -> bool:
        return (self.until is not None and time.monotonic() >= self.until) or self.left == 0

    def as_dict(self) -> dict[str, Any]:
        seconds = None if self.until is None else round(self.until - time.monotonic(), 1)
        return {"mode": self.mode, "path": self.path, "seconds": seconds, "count": self.left, "delay_s": self.delay_s}


def _wrong(knob: dict[str, Any]) -> str | None:
    unknown = set(knob) - {"mode", "path", "seconds", "count", "delay_s"}
    if unknown:
        return f"unknown: {', '.join(sorted(unknown))}"
    if knob.get("mode") not in {"off", *MODES}:
        return f"mode is one of off, {', '.join(sorted(MODES))}"
    if not isinstance(knob.get("path", ""), str):
        return "path is the beginning of a path"
    for name in ("seconds", "count", "delay_s"):
        number = knob.get(name, 0)
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= LONGEST_S:
            return f"{name} is a number from 0 to {LONGEST_S:.0f}"
    return None


class Faults:
    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def change(self, knob: dict[str, Any]) -> str | None:
        """Set the fault of a path; mode `off` removes those below `path`. Returns what is wrong with the knob, if anything."""
        wrong = _wrong(knob)
        if wrong:
            return wrong
        mode, path = knob["mode"], knob.get("path", "")
        if mode == "off":
            self._faults = [fault for fault in self._faults if not fault.path.startswith(path)]
            return None
        seconds, count = knob.get("seconds"), knob.get("count")
        until = None if seconds is None else time.monotonic() + seconds
        left = None if count is None else int(count)
        self._faults = [fault for fault in self._faults if fault.path != path]
        self._faults.append(Fault(mode, path, until, left, knob.get("delay_s", 3.0)))
        return None

    def all(self) -> list[dict[str, Any]]:
        self._forget()
        return [fault.as_dict() for fault in self._faults]

    def take(self, path: str, modes: set[str]) -> Fault | None:
        """The first fault of these modes that meets this request; it counts as met."""
        self._forget()
        for fault in self._faults:
            if fault.mode in modes and path.startswith(fault.path):
                if fault.left is not None:
                    fault.left -= 1
                return fault
        return None

    def clear(self) -> None:
        self._faults = []

    def _forget(self) -> None:
        self._faults = [fault for fault in self._faults if not fault.over]


class FaultGate:
    """The outermost layer: meets each request of a provider's own paths, never those of /sandbox/."""

    def __init__(
        self,
        app: ASGIApp,
        faults: Faults,
        *,
        refuse: Callable[[str], Response],
        creates: Callable[[str, str], bool],
    ) -> None:
        self._app = app
        self._faults = faults
        self._refuse = refuse
        self._creates = creates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/sandbox/"):
            return await self._app(scope, receive, send)
        before = self._faults.take(scope["path"], BEFORE)
        if before is not None and not await self._meet(before, scope, receive, send):
            return
        creates = self._creates(scope["method"], scope["path"])
        after = self._faults.take(scope["path"], AFTER if creates else AFTER - {"drop_answer_after_create"})
        if after is not None:
            send = _Changed(send, after.mode)
        await self._app(scope, receive, send)

    async def _meet(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> bool:
        """Act on a fault; True when the peer is to answer after all."""
        if fault.mode == "slow":
            await asyncio.sleep(fault.delay_s)
            return True
        if fault.mode == "hang":
            await _hang(fault, receive)
            response = self._refuse("http_500")
        elif fault.mode == "html":
            response = HTMLResponse(HTML)
        elif fault.mode == "huge":
            response = Response(b'{"padding":"' + b"x" * HUGE_BYTES + b'"}', media_type="application/json")
        else:
            response = self._refuse(fault.mode)
        await response(scope, receive, send)
        return False


async def _hang(fault: Fault, receive: Receive) -> None:
    """Say nothing until the fault is over or the caller has gone."""
    longest = LONGEST_HANG_S if fault.until is None else max(0.0, fault.until - time.monotonic())
    try:
        async with asyncio.timeout(longest):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        pass


class _Changed:
    """Holds a JSON answer back until it is whole, then sends it spoilt. Streams pass."""

    def __init__(self, send: Send, mode: str) -> None:
        self._send = send
        self._mode = mode
        self._start: Message = {}
        self._body = b""
        self._pass = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            kind = dict(message["headers"]).get(b"content-type", b"")
            self._pass = self._mode != "drop_answer_after_create" and b"json" not in kind
        if self._pass:
            await self._send(message)
            return
        if message["type"] == "http.response.start":
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        if self._mode == "drop_answer_after_create":
            await self._break_off()
            return
        self._body = _spoil(self._body, self._mode)
        headers = [(name, value) for name, value in self._start["headers"] if name.lower() != b"content-length"]
        headers.append((b"content-length", str(len(self._body)).encode()))
        await self._send({**self._start, "headers": headers})
        await self._send({"type": "http.response.body", "body": self._body})

    async def _break_off(self) -> None:
        """Promise more than is sent: the server then closes the connection, and the caller has no answer."""
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1048576")]
        await self._send({**self._start, "headers": headers})
        await self._send({"type": "http.response.body", "body": b"{", "more_body": True})


def _spoil(raw: bytes, mode: str) -> bytes:
    try:
        body = json.loads(raw)
    except ValueError:
        return raw
    changed = _without_fields(body, 0) if mode == "missing_fields" else _negative(body)
    return json.dumps(changed).encode()


def _without_fields(value: Any, turn: int) -> Any:
    """Drop every third field, starting elsewhere in each item, so that each field is missing somewhere."""
    if isinstance(value, list):
        return [_without_fields(item, number) for number, item in enumerate(value)]
    if isinstance(value, dict) and len(value) > 2:
        kept = [name for number, name in enumerate(sorted(value)) if (number + turn) % 3]
        return {name: _without_fields(value[name], turn) for name in kept}
    if isinstance(value, dict):
        return {name: _without_fields(item, turn + number) for number, (name, item) in enumerate(value.items())}
    return value


def _negative(value: Any, priced: bool = False) -> Any:
    if isinstance(value, dict):
        return {name: _negative(item, _is_price(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_negative(item) for item in value]
    if priced and isinstance(value, int | float) and not isinstance(value, bool):
        return -abs(value) or -1
    return value


def _is_price(name: str) -> bool:
    return name in PRICE_NAMES or any(word in name.lower() for word in PRICE_WORDS)
