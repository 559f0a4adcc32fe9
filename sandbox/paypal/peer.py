"""The PayPal stand-in: its routes. What they do stands in orders, payments and webhooks."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from sandbox.paypal import orders, pages, payments
from sandbox.paypal.errors import Problem, envelope
from sandbox.paypal.payout_routes import PayoutRoutes
from sandbox.paypal.reading import read_body, read_form
from sandbox.paypal.replays import ORDERS_S, REFUNDS_S, once
from sandbox.paypal.signing import CERT_PATH, Signer, raw_member
from sandbox.paypal.subscription_routes import SubscriptionRoutes
from sandbox.paypal.webhooks import Webhooks
from sandbox.peer import Options, Peer
from sandbox.server import BAD_KNOB, local
from sandbox.store import Document, Store
from sandbox.wire import Json, Refuse, read_object

TOKEN_S = 32_400
SCOPE = "https://uri.paypal.com/services/payments/payment https://uri.paypal.com/services/payments/refund openid"
VERIFY_FIELDS = ("auth_algo", "cert_url", "transmission_id", "transmission_sig", "transmission_time", "webhook_id")
CREATES = ("/v2/checkout/orders", "/v1/payments/payouts", "/v1/billing/", "/v1/catalogs/")
Handler = Callable[[Request], Awaitable[Response]]


def build(options: Options, store: Store) -> Peer:
    return PaypalPeer(options, store)


class PaypalPeer(Peer):
    def __init__(self, options: Options, store: Store) -> None:
        super().__init__(options, store)
        self._signer = Signer(store, options.webhook_id)
        self._webhooks = Webhooks(store, self._signer, url=options.url, target=options.webhook_url)
        self._payouts = PayoutRoutes(store, self._webhooks, options.url)
        self._subscriptions = SubscriptionRoutes(store, self._webhooks, options.url)

    def routes(self) -> Sequence[Route]:
        api = {
            ("POST", "/v2/checkout/orders"): self.create_order,
            ("GET", "/v2/checkout/orders/{id}"): self.show_order,
            ("POST", "/v2/checkout/orders/{id}/capture"): self.capture_order,
            ("GET", "/v2/payments/captures/{id}"): self.show_capture,
            ("POST", "/v2/payments/captures/{id}/refund"): self.refund_capture,
            ("GET", "/v2/payments/refunds/{id}"): self.show_refund,
            ("POST", "/v1/notifications/verify-webhook-signature"): self.verify_signature,
            ("GET", "/v1/notifications/webhooks-events/{id}"): self.show_event,
            ("POST", "/v1/notifications/webhooks-events/{id}/resend"): self.resend_event,
            **self._payouts.api(),
            **self._subscriptions.api(),
        }
        return [
            Route("/v1/oauth2/token", self.give_token, methods=["POST"]),
            *(Route(path, self.guard(handler), methods=[method]) for (method, path), handler in api.items()),
            Route(CERT_PATH, self.certificate, methods=["GET"]),
            Route("/checkoutnow", self.ask_payer, methods=["GET"]),
            Route("/checkoutnow", self.payer_answers, methods=["POST"]),
            Route("/sandbox/webhooks", local(self.show_webhooks), methods=["GET"]),
            Route("/sandbox/webhooks", local(self.set_webhooks), methods=["POST"]),
            Route("/sandbox/captures", local(self.set_captures), methods=["POST"]),
            Route("/sandbox/captures/{id}/settle", local(self.settle_capture), methods=["POST"]),
            Route("/sandbox/captures/{id}/return", local(self.return_capture), methods=["POST"]),
            *self._payouts.knobs(),
            *self._subscriptions.others(),
        ]

    def refuse(self, reason: str) -> Response:
        status = {"auth": 401, "rate_limit": 429, "not_found": 404, "method": 405}.get(reason, 500)
        return envelope(status)

    def creates(self, method: str, path: str) -> bool:
        return method == "POST" and (path.startswith(CREATES) or path.endswith("/refund"))

    def on_tick(self) -> None:
        """What falls due of subscriptions."""
        self._subscriptions.run()

    async def open(self) -> None:
        await super().open()
        self._webhooks.deliveries.open()

    async def close(self) -> None:
        await self._webhooks.deliveries.close()
        await super().close()

    def guard(self, handler: Handler) -> Handler:
        """A valid token first, refusals in PayPal's envelope, mock answers where the caller asks for them."""

        async def guarded(request: Request) -> Response:
            self._check_token(request)
            try:
                _mock(request)
                return await handler(request)
            except Problem as problem:
                return problem.answer()

        return guarded

    # Tokens

    async def give_token(self, request: Request) -> Response:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(value, validate=True) if scheme.lower() == "basic" else b""
        except ValueError:
            given = b""
        wanted = f"{self.options.client_id}:{self.options.client_secret}".encode()
        if not self.options.client_secret or not secrets.compare_digest(given, wanted):
            error = {"error": "invalid_client", "error_description": "Client Authentication failed"}
            return Json(error, 401)
        if (await read_form(request)).get("grant_type") != "client_credentials":
            error = {"error": "unsupported_grant_type", "error_description": "unsupported grant_type"}
            return Json(error, 400)
        token = f"A21AA{secrets.token_urlsafe(48)}"
        self.store.put("token", token, {"until": time.time() + TOKEN_S})
        return Json(
            {
                "scope": SCOPE,
                "access_token": token,
                "token_type": "Bearer",
                "app_id": "APP-SANDBOX",
                "expires_in": TOKEN_S,
                "nonce": f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}{secrets.token_urlsafe(24)}",
            }
        )

    def _check_token(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        known = self.store.get("token", token) if scheme.lower() == "bearer" else None
        if known is None or known["until"] < time.time():
            raise Refuse(envelope(401))

    # Orders and payments

    async def create_order(self, request: Request) -> Response:
        raw, body = await read_body(request)
        with self.store.together():
            return once(
                self.store,
                request,
                raw,
                keep_s=ORDERS_S,
                act=lambda: orders.create(self.store, body, self.options.url),
                show="order",
                status=201,
            )

    async def show_order(self, request: Request) -> Response:
        return Json(orders.find(self.store, request.path_params["id"]))

    async def capture_order(self, request: Request) -> Response:
        raw, _ = await read_body(request)
        order = orders.find(self.store, request.path_params["id"])
        with self.store.together():
            return once(
                self.store, request, raw, keep_s=ORDERS_S, act=lambda: self._capture(order), show="order", status=201
            )

    def _capture(self, order: Document) -> Document:
        orders.check_capturable(self.store, order)
        completed = orders.capture(self.store, order, self.options.url)
        for unit in completed["purchase_units"]:
            for shown in unit["payments"]["captures"]:
                capture = payments.find_capture(self.store, shown["id"])
                self._webhooks.publish(f"PAYMENT.CAPTURE.{capture['status']}", capture)
        return completed

    async def show_capture(self, request: Request) -> Response:
        return Json(payments.find_capture(self.store, request.path_params["id"]))

    async def refund_capture(self, request: Request) -> Response:
        raw, body = await read_body(request)
        capture = payments.find_capture(self.store, request.path_params["id"])
        with self.store.together():
            return once(
                self.store,
                request,
                raw,
                keep_s=REFUNDS_S,
                act=lambda: self._refund(capture, body),
                show="refund",
                status=201,
            )

    def _refund(
        self, capture: Document, body: dict[str, Any], event_type: str = "PAYMENT.CAPTURE.REFUNDED"
    ) -> Document:
        made = payments.refund(self.store, capture, body, self.options.url)
        self._webhooks.publish(event_type, made)
        return made

    async def set_captures(self, request: Request) -> Response:
        """`{"pending"}`: whether captures wait for the payer's bank from now on."""
        body = await read_object(request, bad=BAD_KNOB)
        self.store.set_value(orders.CAPTURES_WAIT, bool(body.get("pending")))
        return Json(body)

    async def settle_capture(self, request: Request) -> Response:
        """`{"paid"}`: what the payer's bank says of a pending one."""
        body = await read_object(request, bad=BAD_KNOB)
        try:
            with self.store.together():
                capture = payments.find_capture(self.store, request.path_params["id"])
                settled = orders.settle(self.store, capture, "COMPLETED" if body.get("paid") else "DECLINED")
                kind = "COMPLETED" if settled["status"] == "COMPLETED" else "DENIED"
                self._webhooks.publish(f"PAYMENT.CAPTURE.{kind}", settled)
                return Json(settled)
        except Problem as problem:
            return problem.answer()

    async def return_capture(self, request: Request) -> Response:
        """Money goes back without a word of ours: `{"amount"?, "reversed"?}`, by hand at PayPal or by the payer's bank."""
        body = await read_object(request, bad=BAD_KNOB)
        kind = "PAYMENT.CAPTURE.REVERSED" if body.pop("reversed", False) else "PAYMENT.CAPTURE.REFUNDED"
        try:
            with self.store.together():
                capture = payments.find_capture(self.store, request.path_params["id"])
                return Json(self._refund(capture, body, kind), 201)
        except Problem as problem:
            return problem.answer()

    async def show_refund(self, request: Request) -> Response:
        return Json(payments.find_refund(self.store, request.path_params["id"]))

    # The payer

    async def ask_payer(self, request: Request) -> Response:
        order = self.store.get("order", request.query_params.get("token", ""))
        if order is None:
            return pages.message_page("No such order", "The link is wrong, or the order is gone.", 404)
        context = self._context(order)
        if not orders.is_open(order):
            text = "This order has been approved already. Nothing more is to be done here."
            return pages.message_page("Already approved", text, 200, back=self._return_url(order, context))
        return pages.approve_page(order, context)

    async def payer_answers(self, request: Request) -> Response:
        form = await read_form(request)
        order = self.store.get("order", form.get("token", ""))
        if order is None:
            return pages.message_page("No such order", "The link is wrong, or the order is gone.", 404)
        context = self._context(order)
        if form.get("action") == "cancel":
            return self._send_back(order, context.get("cancel_url"), token=order["id"])
        if form.get("action") != "approve":
            return pages.message_page("Nothing was chosen", "Go back and choose Approve or Cancel.", 400)
        if orders.is_open(order):
            with self.store.together():
                order = orders.approve(self.store, order)
                self._webhooks.publish("CHECKOUT.ORDER.APPROVED", order)
        return self._send_back(order, context.get("return_url"), token=order["id"], PayerID=orders.PAYER_ID)

    def _context(self, order: Document) -> Document:
        return self.store.get("context", order["id"]) or {}

    def _return_url(self, order: Document, context: Document) -> str:
        url = context.get("return_url")
        return pages.with_query(url, token=order["id"], PayerID=orders.PAYER_ID) if url else ""

    def _send_back(self, order: Document, url: str | None, **query: Any) -> Response:
        if not url:
            return pages.message_page("Thank you", f"The order is {order['status']}. You may close this page.", 200)
        return RedirectResponse(pages.with_query(url, **query), 303, headers={"Referrer-Policy": "no-referrer"})

    # Webhooks

    async def verify_signature(self, request: Request) -> Response:
        raw, body = await read_body(request)
        for name in (*VERIFY_FIELDS, "webhook_event"):
            if name not in body:
                raise Problem(400, "MISSING_REQUIRED_PARAMETER", field=f"/{name}")
        if not all(isinstance(body[name], str) for name in VERIFY_FIELDS):
            raise Problem(400, "INVALID_PARAMETER_SYNTAX")
        event = raw_member(raw.decode(), "webhook_event") or ""
        good = self._signer.verify(
            body["transmission_sig"],
            body["transmission_id"],
            body["transmission_time"],
            body["webhook_id"],
            event.encode(),
        )
        return Json({"verification_status": "SUCCESS" if good else "FAILURE"})

    async def certificate(self, _request: Request) -> Response:
        return PlainTextResponse(self._signer.certificate(), media_type="application/x-pem-file")

    async def show_event(self, request: Request) -> Response:
        return Json(self._event(request))

    async def resend_event(self, request: Request) -> Response:
        event = self._event(request)
        self._webhooks.deliveries.enqueue(event["id"])
        return Json(event, 202)

    def _event(self, request: Request) -> Document:
        event = self.store.get("event", request.path_params["id"])
        if event is None:
            raise Problem(404, "INVALID_RESOURCE_ID")
        return event

    async def show_webhooks(self, _request: Request) -> Response:
        return Json({**self._webhooks.deliveries.knobs, "deliveries": self._webhooks.deliveries.all()})

    async def set_webhooks(self, request: Request) -> Response:
        wrong = self._webhooks.deliveries.set_knobs(await read_object(request, bad=BAD_KNOB))
        return Json({"error": wrong}, 400) if wrong else await self.show_webhooks(request)


def _mock(request: Request) -> None:
    """`PayPal-Mock-Response: {"mock_application_codes": "INSTRUMENT_DECLINED"}` refuses, as in PayPal's own sandbox."""
    wanted = request.headers.get("paypal-mock-response")
    if not wanted or request.method != "POST":
        return
    try:
        code = json.loads(wanted)["mock_application_codes"]
    except (ValueError, KeyError, TypeError):
        raise Problem(400, "INVALID_PARAMETER_SYNTAX") from None
    raise Problem(422, str(code[0] if isinstance(code, list) and code else code))
