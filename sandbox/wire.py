"""Answers and requests as JSON, and the one exception by which a handler refuses."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

LARGEST_BODY = 1024 * 1024


class Refuse(Exception):
    """Ends a handler with this answer."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def _number(value: object) -> float:
    """The providers write prices as JSON numbers: here, at the very edge, a Decimal becomes one."""
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


class Json(JSONResponse):
    def render(self, content: Any) -> bytes:
        return json.dumps(content, default=_number, separators=(",", ":")).encode()


async def read_object(request: Request, *, bad: Response) -> dict[str, Any]:
    """The request's body, which must be a JSON object; refuses with `bad`. An empty body is an empty object."""
    raw = await request.body()
    if not raw.strip():
        return {}
    if len(raw) > LARGEST_BODY:
        raise Refuse(bad)
    try:
        body = json.loads(raw.decode())
    except (ValueError, RecursionError):
        raise Refuse(bad) from None
    if not isinstance(body, dict):
        raise Refuse(bad)
    return body
