"""`/sandbox/…` of this peer: its notifications, and what befalls payments. For programs on this machine only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.server import BAD_KNOB, local
from sandbox.store import Document
from sandbox.stripe import disputes, payouts, refunds
from sandbox.stripe.documents import shown
from sandbox.stripe.errors import Problem
from sandbox.stripe.world import World
from sandbox.wire import Json, read_object

Knob = Callable[[Request, dict[str, Any]], Document]
Handler = Callable[[Request], Awaitable[Response]]


class Knobs:
    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        return [
            Route("/sandbox/webhooks", local(self.show_webhooks), methods=["GET"]),
            Route("/sandbox/webhooks", local(self.set_webhooks), methods=["POST"]),
            Route("/sandbox/events/{id}/resend", self._knob(self.resend), methods=["POST"]),
            Route("/sandbox/disputes", self._knob(self.dispute), methods=["POST"]),
            Route("/sandbox/disputes/{id}/{decision}", self._knob(self.decide), methods=["POST"]),
            Route("/sandbox/refunds/{id}/fail", self._knob(self.fail_refund), methods=["POST"]),
            Route("/sandbox/payouts/{id}/{outcome}", self._knob(self.end_payout), methods=["POST"]),
        ]

    def _knob(self, act: Knob) -> Handler:
        async def turned(request: Request) -> Response:
            given = await read_object(request, bad=BAD_KNOB)
            try:
                with self._world.store.together():
                    return Json(shown(act(request, given)))
            except Problem as problem:
                return problem.answer()

        return local(turned)

    async def show_webhooks(self, _request: Request) -> Response:
        return Json({**self._world.webhooks.knobs, "deliveries": self._world.webhooks.all()})

    async def set_webhooks(self, request: Request) -> Response:
        wrong = self._world.webhooks.set_knobs(await read_object(request, bad=BAD_KNOB))
        return Json({"error": wrong}, 400) if wrong else await self.show_webhooks(request)

    def resend(self, request: Request, _given: dict[str, Any]) -> Document:
        event = self._world.find("event", request.path_params["id"])
        self._world.webhooks.enqueue(event["id"])
        return event

    def dispute(self, _request: Request, given: dict[str, Any]) -> Document:
        """`{"charge": "ch_…", "reason"?: "fraudulent", "amount"?: cents, "inquiry"?: true}`"""
        charge = self._world.find("charge", str(given.get("charge")))
        amount = given.get("amount")
        if amount is not None and (isinstance(amount, bool) or not isinstance(amount, int)):
            raise Problem("amount is a whole number of cents", param="amount")
        reason, inquiry = str(given.get("reason", "fraudulent")), given.get("inquiry") is True
        return disputes.open_dispute(self._world, charge, reason=reason, amount=amount, inquiry=inquiry)

    def decide(self, request: Request, _given: dict[str, Any]) -> Document:
        decision = request.path_params["decision"]
        dispute = self._world.find("dispute", request.path_params["id"])
        of_inquiries = {"escalate": disputes.escalate, "close": disputes.end_inquiry}
        if decision in of_inquiries:
            return of_inquiries[decision](self._world, dispute)
        if decision not in ("won", "lost"):
            raise Problem("A dispute is won or lost; an inquiry may escalate or close.", status=404)
        return disputes.decide(self._world, dispute, decision)

    def fail_refund(self, request: Request, _given: dict[str, Any]) -> Document:
        refund = self._world.find("refund", request.path_params["id"])
        if refund["status"] == "failed":
            raise Problem("This refund has failed already.")
        return refunds.fail(self._world, refund)

    def end_payout(self, request: Request, _given: dict[str, Any]) -> Document:
        payout = self._world.find("payout", request.path_params["id"])
        outcomes = {"paid": payouts.settle, "fail": payouts.fail}
        if request.path_params["outcome"] not in outcomes:
            raise Problem("A payout is paid, or it may fail.", status=404)
        return outcomes[request.path_params["outcome"]](self._world, payout)
