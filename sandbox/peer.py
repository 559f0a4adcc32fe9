"""What every stand-in is: routes in a provider's own words, beside the parts that all of them share."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.faults import Faults
from sandbox.fleet import Fleet
from sandbox.market import Market
from sandbox.prices import ListPrices
from sandbox.store import Store
from sandbox.wire import Refuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a peer was started. Keys come from the environment, never from the command line."""

    name: str
    host: str
    port: int
    state: Path
    facts: Path
    seed: int
    tick_s: float
    boot_s: float
    strict_limits: bool
    webhook_url: str
    key: str
    client_id: str
    client_secret: str
    webhook_id: str
    stripe_secret_key: str
    stripe_publishable_key: str
    stripe_webhook_secret: str

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


class Peer:
    """Subclasses give `routes` and `refuse`, and what else their protocol needs."""

    def __init__(self, options: Options, store: Store) -> None:
        self.options = options
        self.store = store
        self.faults = Faults()
        self.market = Market(options.seed, store.value("tick", 0))
        self.fleet = Fleet(store, host=options.host, boot_s=options.boot_s)

    def routes(self) -> Sequence[Route]:
        raise NotImplementedError

    def refuse(self, reason: str) -> Response:
        """The provider's own words for `http_500`, `auth`, `rate_limit`, `not_found` and `method`."""
        raise NotImplementedError

    def creates(self, method: str, path: str) -> bool:
        """Whether a request makes something that costs money."""
        return False

    def limit(self, request: Request) -> Response | None:
        """A refusal when the caller is too fast; called before each request of the provider's paths."""
        return None

    def dress(self, request: Request, response: Response) -> Response:
        """Put on what the provider sends with each answer, such as its rate-limit headers."""
        return response

    def on_tick(self) -> None:
        """The market has moved."""

    async def open(self) -> None:
        await self.fleet.open()

    async def close(self) -> None:
        self.fleet.close()

    def prices(self) -> ListPrices:
        return ListPrices.load(self.options.facts)

    def check_bearer(self, request: Request, *, required: bool = True) -> None:
        """The caller's key, from `Authorization: Bearer`. Without `required` a missing header passes, a wrong key does not."""
        header = request.headers.get("authorization", "")
        if not header and not required:
            return
        scheme, _, key = header.partition(" ")
        if scheme.lower() != "bearer" or not self.is_key(key):
            raise Refuse(self.refuse("auth"))

    def is_key(self, key: str) -> bool:
        return bool(self.options.key) and secrets.compare_digest(key.encode(), self.options.key.encode())
