"""A merchant that speaks to the PayPal stand-in."""

from __future__ import annotations

from typing import Any

import requests

from tests.sandbox.conftest import DEADLINE_S, RunningPeer

RETURN = "http://127.0.0.1:9/return?plan=pro"
CANCEL = "http://127.0.0.1:9/cancel"


class Shop:
    """A merchant: signs in once, then speaks to the peer."""

    def __init__(self, peer: RunningPeer) -> None:
        self.peer = peer
        answer = requests.post(
            f"{peer.url}/v1/oauth2/token",
            data={"grant_type": "client_credentials"},
            auth=("client", "secret"),
            timeout=DEADLINE_S,
        )
        self.token = answer.json()["access_token"]
        peer.headers = {"Authorization": f"Bearer {self.token}"}

    def post(self, path: str, body: Any = None, **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.peer.post(path, json=body, headers={**self.peer.headers, **named})

    def order(self, value: str = "25.00", **headers: str) -> requests.Response:
        return self.post("/v2/checkout/orders", order_body(value), **headers)

    def approve(self, id: str, action: str = "approve") -> requests.Response:
        form = {"token": id, "action": action}
        return self.peer.post("/checkoutnow", data=form, headers={})

    def capture(self, id: str, **headers: str) -> requests.Response:
        return self.post(f"/v2/checkout/orders/{id}/capture", **headers)

    def paid(self, value: str = "25.00") -> dict[str, Any]:
        """The capture of a paid order."""
        id = self.order(value).json()["id"]
        self.approve(id)
        unit = self.capture(id).json()["purchase_units"][0]
        capture: dict[str, Any] = unit["payments"]["captures"][0]
        return capture

    def refund(self, capture: dict[str, Any], body: Any = None, **headers: str) -> requests.Response:
        return self.post(f"/v2/payments/captures/{capture['id']}/refund", body or {}, **headers)


def order_body(value: Any = "25.00", **change: Any) -> dict[str, Any]:
    unit = {"amount": {"currency_code": "USD", "value": value}, "description": "Pro, a month", "custom_id": "order-1"}
    context = {"return_url": RETURN, "cancel_url": CANCEL, "brand_name": "GPUBroker"}
    return {"intent": "CAPTURE", "purchase_units": [{**unit, **change}], "application_context": context}
