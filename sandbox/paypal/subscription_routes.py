"""The routes of products, plans, subscriptions and their sales; the page on which a payer agrees; the knobs of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from sandbox.paypal import clock, pages, plans, sales, subscriptions
from sandbox.paypal.errors import BillingProblem, Problem
from sandbox.paypal.orders import link
from sandbox.paypal.reading import Table, read_body, read_form
from sandbox.paypal.replays import REFUNDS_S, SUBSCRIPTIONS_S, once
from sandbox.paypal.subscriptions import Subscriptions
from sandbox.paypal.webhooks import Webhooks
from sandbox.server import BAD_KNOB, local
from sandbox.store import Document, Store
from sandbox.wire import Json, read_object
from sandbox.workload import rfc3339

GONE = ("No such subscription", "The link is wrong, or it was used before.", 404)


class SubscriptionRoutes:
    def __init__(self, store: Store, webhooks: Webhooks, url: str) -> None:
        self._store = store
        self._webhooks = webhooks
        self._url = url
        self._change = Subscriptions(store, webhooks, url)

    def api(self) -> Table:
        one = "/v1/billing/subscriptions/{id}"
        return {
            ("POST", "/v1/catalogs/products"): self.create_product,
            ("GET", "/v1/catalogs/products/{id}"): self.show_product,
            ("POST", "/v1/billing/plans"): self.create_plan,
            ("GET", "/v1/billing/plans"): self.list_plans,
            ("GET", "/v1/billing/plans/{id}"): self.show_plan,
            ("POST", "/v1/billing/subscriptions"): self.create,
            ("GET", one): self.show,
            ("POST", f"{one}/revise"): self.revise,
            ("POST", f"{one}/suspend"): self.suspend,
            ("POST", f"{one}/cancel"): self.cancel,
            ("POST", f"{one}/activate"): self.activate,
            ("POST", f"{one}/capture"): self.capture,
            ("GET", f"{one}/transactions"): self.transactions,
            ("GET", "/v1/payments/sale/{id}"): self.show_sale,
            ("POST", "/v1/payments/sale/{id}/refund"): self.refund_sale,
            ("GET", "/v1/payments/refund/{id}"): self.show_refund,
        }

    def others(self) -> list[Route]:
        page = "/webapps/billing/subscriptions"
        return [
            *(Route(path, self.ask_payer, methods=["GET"]) for path in (page, f"{page}/update")),
            Route(page, self.payer_answers, methods=["POST"]),
            Route("/sandbox/clock", local(self.set_clock), methods=["POST"]),
            Route("/sandbox/subscriptions/{id}", local(self.happen), methods=["POST"]),
            Route("/sandbox/sales/{id}/return", local(self.return_sale), methods=["POST"]),
        ]

    def run(self) -> None:
        with self._store.together():
            self._change.run()

    # Products and plans

    async def create_product(self, request: Request) -> Response:
        return await self._create(request, plans.create_product, "product")

    async def show_product(self, request: Request) -> Response:
        return Json(plans.find(self._store, "product", request.path_params["id"]))

    async def create_plan(self, request: Request) -> Response:
        return await self._create(request, plans.create_plan, "plan")

    async def list_plans(self, request: Request) -> Response:
        whole = "return=representation" in request.headers.get("prefer", "")
        return Json(plans.list_plans(self._store, dict(request.query_params), self._url, whole=whole))

    async def show_plan(self, request: Request) -> Response:
        return Json(plans.find(self._store, "plan", request.path_params["id"]))

    async def _create(
        self, request: Request, create: Callable[[Store, dict[str, Any], str], Document], kind: str
    ) -> Response:
        raw, body = await read_body(request)
        with self._store.together():
            return once(
                self._store,
                request,
                raw,
                keep_s=SUBSCRIPTIONS_S,
                act=lambda: create(self._store, body, self._url),
                show=kind,
                status=201,
                dress=subscriptions.show,
            )

    # Subscriptions

    async def create(self, request: Request) -> Response:
        return await self._create(request, subscriptions.create, "subscription")

    async def show(self, request: Request) -> Response:
        found = self._find(request)
        wanted = "plan" in request.query_params.get("fields", "").split(",")
        plan = plans.find(self._store, "plan", found["plan_id"]) if wanted else None
        return Json(subscriptions.show(found, plan=plan))

    async def revise(self, request: Request) -> Response:
        _, body = await read_body(request)
        with self._store.together():
            return Json(subscriptions.revise(self._store, self._find(request), body, self._url))

    async def suspend(self, request: Request) -> Response:
        return await self._act(request, self._change.suspend)

    async def cancel(self, request: Request) -> Response:
        return await self._act(request, self._change.cancel)

    async def activate(self, request: Request) -> Response:
        with self._store.together():
            self._change.activate(self._find(request))
        return Response(status_code=204)

    async def _act(self, request: Request, act: Callable[[Document, str], Document]) -> Response:
        _, body = await read_body(request)
        reason = plans.text(body, "reason", required=True)
        with self._store.together():
            act(self._find(request), reason)
        return Response(status_code=204)

    async def capture(self, request: Request) -> Response:
        raw, body = await read_body(request)
        with self._store.together():
            return once(
                self._store,
                request,
                raw,
                keep_s=SUBSCRIPTIONS_S,
                act=lambda: self._change.capture(self._find(request), body),
                show="sale",
                status=200,
                dress=sales.as_transaction,
            )

    async def transactions(self, request: Request) -> Response:
        """Those of a span of time, the newest first."""
        for name in ("start_time", "end_time"):
            if name not in request.query_params:
                raise BillingProblem(400, "MISSING_REQUIRED_PARAMETER", field=name)
        since, until = (request.query_params[name] for name in ("start_time", "end_time"))
        found = sales.of(self._store, self._find(request)["id"])
        listed = [sales.as_transaction(sale) for sale in reversed(found) if since <= sale["create_time"] <= until]
        here = link(self._url, request.url.path, "self")
        return Json({"transactions": listed, "total_items": len(listed), "total_pages": 1, "links": [here]})

    def _find(self, request: Request) -> Document:
        return plans.find(self._store, "subscription", request.path_params["id"])

    # Sales

    async def show_sale(self, request: Request) -> Response:
        return Json(plans.find(self._store, "sale", request.path_params["id"]))

    async def refund_sale(self, request: Request) -> Response:
        raw, body = await read_body(request)
        sale = plans.find(self._store, "sale", request.path_params["id"])
        with self._store.together():
            return once(
                self._store,
                request,
                raw,
                keep_s=REFUNDS_S,
                act=lambda: self._refund(sale, body),
                show="sale_refund",
                status=201,
            )

    def _refund(self, sale: Document, body: dict[str, Any]) -> Document:
        made = sales.refund(self._store, sale, body, self._url)
        self._webhooks.publish("PAYMENT.SALE.REFUNDED", made)
        return made

    async def show_refund(self, request: Request) -> Response:
        return Json(plans.find(self._store, "sale_refund", request.path_params["id"]))

    # The payer

    async def ask_payer(self, request: Request) -> Response:
        found = subscriptions.by_token(self._store, request.query_params.get("ba_token", ""))
        if found is None or not _asks(found):
            return pages.message_page(*GONE)
        plan = plans.find(self._store, "plan", found["_wanted"] if "_wanted" in found else found["plan_id"])
        return pages.subscribe_page(found, plan)

    async def payer_answers(self, request: Request) -> Response:
        form = await read_form(request)
        found = subscriptions.by_token(self._store, form.get("ba_token", ""))
        if found is None or not _asks(found):
            return pages.message_page(*GONE)
        if form.get("action") not in ("approve", "cancel"):
            return pages.message_page("Nothing was chosen", "Go back and choose Agree or Cancel.", 400)
        where = "cancel_url"
        if form["action"] == "approve":
            where = "return_url"
            with self._store.together():
                self._change.approve(found)
        query = {"subscription_id": found["id"], "ba_token": found["_token"]}
        url = pages.with_query(found["_context"][where], **query)
        return RedirectResponse(url, 303, headers={"Referrer-Policy": "no-referrer"})

    # Knobs

    async def set_clock(self, request: Request) -> Response:
        """`{"now": "2026-02-15T14:00:00Z"}`: it is this moment, and what fell due until then has happened."""
        knob = await read_object(request, bad=BAD_KNOB)
        try:
            with self._store.together():
                at = clock.set_to(self._store, str(knob.get("now", "")))
                self._change.run()
        except (ValueError, OverflowError) as wrong:
            return Json({"error": str(wrong)}, 400)
        return Json({"now": rfc3339(at)})

    async def happen(self, request: Request) -> Response:
        """`{"pays": false}`: the payer's account has nothing from now on; `{"waits": true}`: their bank takes days, until
        `false`; `{"cancel": true}`: they cancel at PayPal."""
        knob = await read_object(request, bad=BAD_KNOB)
        try:
            with self._store.together():
                found = self._find(request)
                for name in ("pays", "waits"):
                    if isinstance(knob.get(name), bool):
                        found = {**found, f"_{name}": knob[name]}
                        self._store.put("subscription", found["id"], found)
                if knob.get("waits") is False:
                    self._change.settle(found)
                if knob.get("cancel") is True:
                    self._change.cancel(found, "Customer requested")
        except Problem as problem:
            return problem.answer()
        return Json(subscriptions.show(self._find(request)))

    async def return_sale(self, request: Request) -> Response:
        """Money goes back without a word of ours: `{"amount"?}`."""
        body = await read_object(request, bad=BAD_KNOB)
        try:
            with self._store.together():
                sale = plans.find(self._store, "sale", request.path_params["id"])
                return Json(self._refund(sale, body), 201)
        except Problem as problem:
            return problem.answer()


def _asks(subscription: Document) -> bool:
    return subscription["status"] == "APPROVAL_PENDING" or "_wanted" in subscription
