"""The routes of payouts, and the knobs that decide what becomes of one."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.paypal import payouts
from sandbox.paypal.errors import Problem
from sandbox.paypal.reading import Table, read_body
from sandbox.paypal.webhooks import Webhooks
from sandbox.server import BAD_KNOB, local
from sandbox.store import Document, Store
from sandbox.wire import Json, read_object


class PayoutRoutes:
    def __init__(self, store: Store, webhooks: Webhooks, url: str) -> None:
        self._store = store
        self._webhooks = webhooks
        self._url = url

    def api(self) -> Table:
        return {
            ("POST", "/v1/payments/payouts"): self.create,
            ("GET", "/v1/payments/payouts/{id}"): self.show,
            ("GET", "/v1/payments/payouts-item/{id}"): self.show_item,
            ("POST", "/v1/payments/payouts-item/{id}/cancel"): self.cancel_item,
        }

    def knobs(self) -> list[Route]:
        return [
            Route("/sandbox/payouts", local(self.decide), methods=["POST"]),
            Route("/sandbox/payouts-item/{id}", local(self.happen), methods=["POST"]),
        ]

    async def create(self, request: Request) -> Response:
        """Answered before PayPal has looked at it; `PayPal-Request-Id` plays no part, only the sender's id of the batch."""
        _, body = await read_body(request)
        with self._store.together():
            batch = payouts.create(self._store, body, self._url)
            for id in payouts.process(self._store, batch):
                self._tell(payouts.find_item(self._store, id))
        return Json(payouts.show_created(batch, self._url), 201)

    async def show(self, request: Request) -> Response:
        batch = payouts.find_batch(self._store, request.path_params["id"])
        return Json(payouts.show_batch(self._store, batch, self._url))

    async def show_item(self, request: Request) -> Response:
        return Json(self._shown(payouts.find_item(self._store, request.path_params["id"])))

    async def cancel_item(self, request: Request) -> Response:
        with self._store.together():
            item = payouts.find_item(self._store, request.path_params["id"])
            returned = payouts.cancel(self._store, item)
            self._webhooks.publish("PAYMENT.PAYOUTS-ITEM.CANCELED", self._shown(returned))
        return Json(self._shown(returned))

    async def decide(self, request: Request) -> Response:
        """`{"receiver", "outcome"}`: what becomes of payouts to somebody from now on; `{"say_where": false}`: a repetition
        is refused without a link to the first one, as some were at PayPal."""
        knob = await read_object(request, bad=BAD_KNOB)
        if isinstance(knob.get("say_where"), bool):
            self._store.set_value("payouts_say_where", knob["say_where"])
            return Json({"say_where": knob["say_where"]})
        receiver, outcome = knob.get("receiver"), knob.get("outcome")
        known = [*payouts.OUTCOMES, payouts.DENIED]
        if not isinstance(receiver, str) or outcome not in known:
            return Json({"error": f"a receiver, and an outcome of {', '.join(known)}"}, 400)
        outcomes = {**self._store.value("payout_outcomes", {}), receiver: outcome}
        self._store.set_value("payout_outcomes", outcomes)
        return Json({"outcomes": outcomes})

    async def happen(self, request: Request) -> Response:
        """`{"status"}`: an item is claimed, comes back, or what else may befall it later."""
        knob = await read_object(request, bad=BAD_KNOB)
        try:
            with self._store.together():
                item = payouts.find_item(self._store, request.path_params["id"])
                if knob.get("status") not in payouts.LATER.get(item["status"], set()):
                    return Json({"error": f"an item that is {item['status']} does not become that"}, 400)
                changed = payouts.become(self._store, item, knob["status"])
                self._tell(changed)
        except Problem as problem:
            return problem.answer()
        return Json(self._shown(changed))

    def _tell(self, item: Document) -> None:
        event = payouts.OUTCOMES[item["status"]][1]
        if event:
            self._webhooks.publish(event, self._shown(item))

    def _shown(self, item: Document) -> Document:
        return payouts.show_item(item, payouts.find_batch(self._store, item["batch"]), self._url)
