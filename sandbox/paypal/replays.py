"""`PayPal-Request-Id`: the same request is answered again, not done again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from starlette.requests import Request

from sandbox.paypal.errors import Problem
from sandbox.store import Document, Store
from sandbox.wire import Json

ORDERS_S = 6 * 3600.0
REFUNDS_S = 45 * 86_400.0
SUBSCRIPTIONS_S = 72 * 3600.0


def as_it_is(document: Document) -> Document:
    return document


def once(
    store: Store,
    request: Request,
    raw: bytes,
    *,
    keep_s: float,
    act: Callable[[], Document],
    show: str,
    status: int,
    dress: Callable[[Document], Document] = as_it_is,
) -> Json:
    """The answer of `act`, done at most once for each request id: a repetition shows the present state with 200.

    `act` returns the made document, `show` is the kind under which its newest version is kept, `dress` makes it
    what callers see. An id that was used with another path or body is refused. A request that was refused may be repeated with its id.
    """
    id = request.headers.get("paypal-request-id", "")
    if not id:
        return Json(dress(act()), status)
    if len(id) > 108:
        raise Problem(400, "INVALID_STRING_LENGTH")
    print_ = hashlib.sha256(request.url.path.encode() + b"\n" + raw).hexdigest()
    before = store.get("request", id)
    if before is not None and time.time() - before["at"] < keep_s:
        if before["print"] != print_:
            raise Problem(422, "DUPLICATE_REQUEST_ID")
        return Json(dress(store.get(show, before["made"]) or {}), 200)
    made = act()
    store.put("request", id, {"at": time.time(), "print": print_, "made": made["id"]})
    return Json(dress(made), status)
