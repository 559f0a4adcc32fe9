"""What people open in a browser: the bank's question to a payer, the onboarding of an owner, the script for shops."""

from __future__ import annotations

import secrets
from pathlib import Path
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from sandbox.store import Document
from sandbox.stripe import accounts, pages, payment_intents, setup_intents
from sandbox.stripe.world import World
from sandbox.wire import LARGEST_BODY

SCRIPT = Path(__file__).with_name("js") / "v3.js"
GONE = ("No such page", "The link is wrong, or it has been used, or its time is over.", 404)
NOTHING = ("Nothing was chosen", "Go back and choose one of the two.", 400)


class Visits:
    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        return [
            Route("/redirect/authenticate/{id}", self.ask_payer, methods=["GET"]),
            Route("/redirect/authenticate/{id}", self.payer_answers, methods=["POST"]),
            Route("/connect/onboarding/{token}", self.ask_owner, methods=["GET"]),
            Route("/connect/onboarding/{token}", self.owner_answers, methods=["POST"]),
            Route("/sandbox/js/v3.js", self.script, methods=["GET"]),
        ]

    def _intent(self, request: Request, secret: str) -> Document | None:
        id = request.path_params["id"]
        found = self._world.get("payment_intent", id) or self._world.get("setup_intent", id)
        return found if found and secrets.compare_digest(secret.encode(), found["client_secret"].encode()) else None

    async def ask_payer(self, request: Request) -> Response:
        intent = self._intent(request, request.query_params.get("client_secret", ""))
        if intent is None:
            return pages.message_page(*GONE)
        return pages.payer_page(intent) if intent["status"] == "requires_action" else _send_back(intent)

    async def payer_answers(self, request: Request) -> Response:
        form = await _form(request)
        intent = self._intent(request, form.get("client_secret", ""))
        if intent is None:
            return pages.message_page(*GONE)
        if form.get("action") not in ("complete", "fail"):
            return pages.message_page(*NOTHING)
        noun = payment_intents if intent["object"] == "payment_intent" else setup_intents
        with self._world.store.together():
            intent = noun.answer_payer(self._world, intent, passed=form["action"] == "complete")
        return _send_back(intent)

    async def ask_owner(self, request: Request) -> Response:
        link = accounts.use_link(self._world, request.path_params["token"])
        account = self._world.get("account", link["_account"]) if link else None
        return pages.onboarding_page(account, link) if account and link else pages.message_page(*GONE)

    async def owner_answers(self, request: Request) -> Response:
        token = request.path_params["token"]
        link = accounts.use_link(self._world, token)
        account = self._world.get("account", link["_account"]) if link else None
        if not (link and account):
            return pages.message_page(*GONE)
        action = (await _form(request)).get("action")
        if action not in ("complete", "later"):
            return pages.message_page(*NOTHING)
        with self._world.store.together():
            self._world.store.put("account_link", token, {**link, "_used": True})
            if action == "complete":
                accounts.onboard(self._world, account)
        return _redirect(link["_return_url"])

    async def script(self, _request: Request) -> Response:
        """The stand-in for Stripe.js; it finds the API at its own origin."""
        headers = {"Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "cross-origin"}
        return Response(SCRIPT.read_text(), media_type="text/javascript; charset=utf-8", headers=headers)


async def _form(request: Request) -> dict[str, str]:
    raw = (await request.body())[:LARGEST_BODY]
    return {name: values[0] for name, values in parse_qs(raw.decode("utf-8", "replace")).items()}


def _send_back(intent: Document) -> Response:
    if not intent["_return_url"]:
        return pages.message_page("Thank you", f"It is now {intent['status']}. You may close this page.", 200)
    kind = intent["object"]
    query = {kind: intent["id"], f"{kind}_client_secret": intent["client_secret"]}
    outcome = "succeeded" if intent["status"] == "succeeded" else "failed"
    return _redirect(pages.with_query(intent["_return_url"], **query, redirect_status=outcome))


def _redirect(url: str) -> Response:
    return RedirectResponse(url, 303, headers={"Referrer-Policy": "no-referrer"})
