"""The Stripe stand-in: keys, idempotency and routes. What the endpoints do stands in the module of their noun."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from stripe import api_version as API_VERSION

from sandbox.deliveries import Deliveries
from sandbox.peer import Options, Peer
from sandbox.store import Document, Store
from sandbox.stripe import (
    accounts,
    balance,
    charges,
    clocks,
    collection,
    customers,
    disputes,
    events,
    payment_intents,
    payment_methods,
    payouts,
    previews,
    products,
    refunds,
    replays,
    setup_intents,
    subscription_routes,
    transfers,
)
from sandbox.stripe.documents import new_id, shown
from sandbox.stripe.errors import Declined, Problem, WrongParameter
from sandbox.stripe.expand import expanded
from sandbox.stripe.forms import Tree, decode
from sandbox.stripe.knobs import Knobs
from sandbox.stripe.table import Endpoint
from sandbox.stripe.visits import Visits
from sandbox.stripe.webhooks import signed_with
from sandbox.stripe.world import Call, Cause, World
from sandbox.wire import LARGEST_BODY, Json

NOUNS = (
    customers,
    payment_methods,
    setup_intents,
    payment_intents,
    charges,
    refunds,
    products,
    subscription_routes,
    previews,
    collection,
    disputes,
    accounts,
    transfers,
    payouts,
    balance,
    clocks,
    events,
)
# What an account of an owner has of its own.
FOR_ACCOUNTS = ("/v1/account", "/v1/balance", "/v1/payouts")
# From here on the period stands on the subscription's item, and an invoice names its payments apart.
OLDEST_VERSION = "2025-03-31"
VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(\.\w+)?")
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, PUT, PATCH, POST, DELETE",
    "Access-Control-Expose-Headers": "Request-Id, Stripe-Manage-Version, Stripe-Should-Retry",
    "Access-Control-Max-Age": "300",
}
Handler = Callable[[Request], Awaitable[Response]]


def build(options: Options, store: Store) -> Peer:
    return StripePeer(options, store)


class StripePeer(Peer):
    def __init__(self, options: Options, store: Store) -> None:
        super().__init__(options, store)
        sign = signed_with(options.stripe_webhook_secret)
        self._webhooks = Deliveries(store, target=options.webhook_url, sign=sign)
        self.world = World(store, self._webhooks, options.url)

    def routes(self) -> Sequence[Route]:
        api = [endpoint for noun in NOUNS for endpoint in noun.ENDPOINTS]
        return [
            *(Route(endpoint.path, self.serve(endpoint), methods=[endpoint.method]) for endpoint in api),
            Route("/v1/{path:path}", self.preflight, methods=["OPTIONS"]),
            *Visits(self.world).routes(),
            *Knobs(self.world).routes(),
        ]

    def refuse(self, reason: str) -> Response:
        if reason == "auth":
            return _no_key("sk_test_****").answer()
        if reason == "rate_limit":
            message = (
                "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits."
            )
            return Problem(message, code="rate_limit", status=429).answer()
        if reason in ("not_found", "method"):
            return Problem("Unrecognized request URL. Please see https://stripe.com/docs.", status=404).answer()
        return Problem("An unknown error occurred", type="api_error", status=500).answer()

    def creates(self, method: str, path: str) -> bool:
        return method == "POST" and path.startswith("/v1/")

    def dress(self, request: Request, response: Response) -> Response:
        if request.url.path.startswith("/v1/"):
            response.headers.update(CORS)
            response.headers["Stripe-Version"] = API_VERSION
            response.headers.setdefault("Request-Id", new_id("req", 14))
        return response

    def on_tick(self) -> None:
        """What falls due for customers without a test clock."""
        with self.store.together():
            clocks.run(self.world, None, int(time.time()))
            payouts.settle_due(self.world)

    async def open(self) -> None:
        await super().open()
        self._webhooks.open()

    async def close(self) -> None:
        await self._webhooks.close()
        await super().close()

    # The API

    def serve(self, endpoint: Endpoint) -> Handler:
        async def served(request: Request) -> Response:
            raw = await request.body()
            try:
                if len(raw) > LARGEST_BODY:
                    raise WrongParameter("The request is too large.", status=413)
                return self._answer(endpoint, request, raw)
            except Problem as problem:
                return problem.answer()

        return served

    def _answer(self, endpoint: Endpoint, request: Request, raw: bytes) -> Response:
        tree = decode(raw.decode("utf-8", "replace") if request.method == "POST" else request.url.query)
        public = self._check_key(endpoint, request, tree)
        _check_version(request)
        key = request.headers.get("idempotency-key", "") if request.method == "POST" else ""
        account = request.headers.get("stripe-account", "")
        print_ = replays.fingerprint(request.url.path, account, raw)
        before = replays.earlier(self.store, key, print_) if key else None
        if before is not None:
            headers = {"Idempotent-Replayed": "true", "Idempotency-Key": key, "Original-Request": before["request"]}
            return Json(before["body"], before["status"], headers={**headers, "Request-Id": before["request"]})
        given, expand = endpoint.read(tree)
        if account:
            self._check_account(endpoint, account)
        call = Call(self.world, given, dict(request.path_params), public, account)
        self.world.cause = Cause(new_id("req", 14), key or None)
        status, body = self._act(endpoint, call, expand, key, print_)
        headers = {"Request-Id": str(self.world.cause.id), **({"Idempotency-Key": key} if key else {})}
        self.world.cause = Cause()
        return Json(body, status, headers=headers)

    def _check_account(self, endpoint: Endpoint, account: str) -> None:
        """Raises Problem for what the sandbox has for the platform alone."""
        if not endpoint.path.startswith(FOR_ACCOUNTS):
            raise WrongParameter(f"The sandbox knows Stripe-Account only for {', '.join(FOR_ACCOUNTS)}.")
        if self.world.get("account", account) is None:
            message = f"The provided key does not have access to account '{account}' (or that account does not exist)."
            raise Problem(message, code="account_invalid", status=403)

    def _act(self, endpoint: Endpoint, call: Call, expand: list[str], key: str, print_: str) -> tuple[int, Document]:
        """All of it or none, and its answer kept in the same step. What a declined card leaves behind is kept too."""
        status = 200
        request_id = str(self.world.cause.id)
        try:
            with self.store.together():
                try:
                    body = expanded(self.world, shown(endpoint.act(call)), expand)
                except Declined as declined:
                    status, body = declined.status, declined.body
                if key:
                    replays.keep(self.store, key, print_, status=status, body=body, request_id=request_id)
        except WrongParameter:
            raise
        except previews.Shown as preview:
            body = expanded(self.world, preview.answer, expand)
        except Problem as problem:
            status, body = problem.status, problem.body
            if key:
                replays.keep(self.store, key, print_, status=status, body=body, request_id=request_id)
        return status, body

    def _check_key(self, endpoint: Endpoint, request: Request, tree: Tree) -> bool:
        """Whether the publishable key was given. Raises Problem for a wrong key, or one that may not do this."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        key = value if scheme.lower() == "bearer" else ""
        if not key:
            key = str(tree.pop("key", ""))  # as browsers send it
        if not key:
            raise Problem(
                "You did not provide an API key. You need to provide your API key in the Authorization header, using "
                "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
                status=401,
            )
        if _same(key, self.options.stripe_secret_key):
            return False
        if not _same(key, self.options.stripe_publishable_key):
            raise _no_key(f"{key[:8]}****")
        if not endpoint.public:
            message = (
                "This API call cannot be made with a publishable API key. Please use a secret API key. You can find a "
                "list of your API keys at https://dashboard.stripe.com/account/apikeys."
            )
            raise Problem(message, code="secret_key_required", status=401)
        return True

    async def preflight(self, _request: Request) -> Response:
        headers = {"Access-Control-Allow-Headers": "authorization, content-type, stripe-version, idempotency-key"}
        return Response(status_code=200, headers=headers)


def _same(given: str, wanted: str) -> bool:
    return bool(wanted) and secrets.compare_digest(given.encode(), wanted.encode())


def _no_key(shown_key: str) -> Problem:
    return Problem(f"Invalid API Key provided: {shown_key}", status=401)


def _check_version(request: Request) -> None:
    version = request.headers.get("stripe-version", API_VERSION)
    if not VERSION.fullmatch(version):
        raise WrongParameter(f"Invalid Stripe API version: {version[:40]}")
    if version[:10] < OLDEST_VERSION:
        raise WrongParameter(f"The sandbox answers in the shape of {API_VERSION}; {version} is older.")
