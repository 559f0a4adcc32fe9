"""PayPal's REST API by its own SDK, with what that lacks: time limits, bounds, silence in the logs, one retry of a token.

The SDK keeps the access token and renews it; the calls go through `lib.http`, which refuses them inside a transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import paypalrestsdk

from billing.payments.base import Gone, Refused, ServiceDown
from lib import http
from lib.money import round_for_payment

T = TypeVar("T")
SERVICE = "paypal"
BRAND = "GPUBroker"
TIMEOUT_S = 15.0
MAX_BYTES = 512 * 1024


class PayPalError(Exception):
    """PayPal has refused a call. `issue` is its name for the reason, such as ORDER_NOT_APPROVED, and `name` that of the
    kind of error; `about`, the addresses of what stands in the way."""

    def __init__(
        self, status: int, issue: str, debug_id: str = "", *, name: str = "", about: tuple[str, ...] = ()
    ) -> None:
        super().__init__(f"PayPal answered {status} {issue} (debug id {debug_id or 'none'})")
        self.status = status
        self.issue = issue
        self.name = name
        self.about = about


class PayPalApi(paypalrestsdk.Api):  # type: ignore[misc]
    def __init__(self, *, url: str, client_id: str, client_secret: str) -> None:
        # The mode only chooses the SDK's default address and how much it logs.
        super().__init__(mode="live", endpoint=url, client_id=client_id, client_secret=client_secret)

    def ask(self, path: str) -> dict[str, Any]:
        return self._send("GET", path, None, {})

    def tell(self, path: str, body: dict[str, Any], *, request_id: str) -> dict[str, Any]:
        """A call that changes something. With the same `request_id` PayPal answers it again instead of repeating it."""
        headers = {"PayPal-Request-Id": request_id, "Prefer": "return=representation"}
        return self._send("POST", path, json.dumps(body).encode(), headers)

    def act(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """A change of state, which done twice is refused or changes nothing more."""
        return self._send("POST", path, json.dumps(body).encode(), {})

    def tell_raw(self, path: str, body: bytes) -> dict[str, Any]:
        """A body that must arrive byte for byte."""
        return self._send("POST", path, body, {})

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> dict[str, Any]:
        url = f"{self.endpoint.rstrip('/')}/{path}"
        try:
            return self.http_call(url, method, data=body, headers={**self.headers(), **headers})
        except PayPalError as error:
            if error.status != 401:
                raise
        # The token was revoked before its time. The SDK's own retry would go on for ever.
        self.token_hash = None
        return self.http_call(url, method, data=body, headers={**self.headers(), **headers})

    def http_call(self, url: str, method: str, **kwargs: Any) -> dict[str, Any]:
        """What the SDK calls too, for its token. Raises HttpFailed and PayPalError."""
        data = kwargs.get("data")
        answer = http.call(
            SERVICE,
            method,
            url,
            headers=kwargs.get("headers"),
            raw=data.encode() if isinstance(data, str) else data,
            timeout_s=TIMEOUT_S,
            max_bytes=MAX_BYTES,
        )
        if not answer.ok:
            raise _as_error(answer)
        body = answer.json(SERVICE) if answer.body else {}
        if not isinstance(body, dict):
            raise http.HttpFailed(SERVICE, "not_json")
        return body


def _as_error(answer: http.Answer) -> PayPalError:
    """The most particular name that the error envelope gives; the status alone when it is no envelope."""
    try:
        body = json.loads(answer.body)
        detail = (body.get("details") or [{}])[0]
        issue = detail.get("issue") or body.get("name") or body.get("error") or ""
        about = tuple(str(entry["href"]) for entry in [*(detail.get("link") or []), *(body.get("links") or [])])
        name, debug_id = str(body.get("name", ""))[:64], str(body.get("debug_id", ""))[:32]
        return PayPalError(answer.status, str(issue)[:64], debug_id, name=name, about=about)
    except (ValueError, AttributeError, LookupError, TypeError):
        return PayPalError(answer.status, "")


def understand(call: Callable[[], T]) -> T:
    """PayPal's ways to fail, in our words."""
    try:
        return call()
    except http.HttpFailed as failure:
        raise ServiceDown(str(failure)) from failure
    except PayPalError as error:
        if error.status == 404:
            raise Gone(error.issue) from error
        if error.status in {400, 422}:
            raise Refused(error.issue) from error
        raise ServiceDown(str(error)) from error
    except (LookupError, StopIteration, TypeError, AttributeError, ValueError, InvalidOperation) as nonsense:
        raise ServiceDown(f"an answer without {nonsense}") from nonsense


def address_of(links: list[dict[str, Any]]) -> str:
    """The page on which a customer agrees; empty when there is none."""
    found = (str(link["href"]) for link in links if link.get("rel") in {"payer-action", "approve"})
    url = next(found, "")
    return url if url.startswith(("https://", "http://")) else ""


def money(amount: Decimal, currency: str) -> dict[str, str]:
    return {"currency_code": currency, "value": f"{round_for_payment(amount, currency):f}"}


def read_money(body: dict[str, Any]) -> tuple[Decimal, str]:
    return read_sum(body["value"]), str(body["currency_code"])


def read_sum(value: Any) -> Decimal:
    amount = Decimal(value)
    if not amount.is_finite() or amount < 0:
        raise InvalidOperation("a sum of money")
    return amount
