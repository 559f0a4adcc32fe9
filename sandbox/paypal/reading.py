"""What comes with a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from sandbox.paypal.errors import Problem
from sandbox.wire import LARGEST_BODY, read_object

# Handlers by method and path: only for callers with a token.
Table = dict[tuple[str, str], Callable[[Request], Awaitable[Response]]]


async def read_body(request: Request) -> tuple[bytes, dict[str, Any]]:
    raw = await request.body()
    body = await read_object(request, bad=Problem(400, "MALFORMED_REQUEST_JSON").answer())
    return raw, body


async def read_form(request: Request) -> dict[str, str]:
    """A urlencoded form; python-multipart is not needed for it."""
    raw = (await request.body())[:LARGEST_BODY]
    return {name: values[0] for name, values in parse_qs(raw.decode("utf-8", "replace")).items()}
