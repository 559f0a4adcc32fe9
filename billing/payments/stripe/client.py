"""Stripe's SDK with what it leaves to others: bounded calls, none of them inside a transaction, errors in our words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import stripe

from billing.payments.base import Gone, Refused, ServiceDown
from lib import http

T = TypeVar("T")
SERVICE = "stripe"
TIMEOUT_S = 15
RETRIES = 1
MAX_BYTES = 1024 * 1024


class Wire(stripe.HTTPClient):
    """How the SDK reaches the network."""

    name = "lib.http"

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_usage: Any
    ) -> tuple[str, int, Mapping[str, str]]:
        raw = post_data.encode() if isinstance(post_data, str) else post_data
        try:
            answer = http.call(
                SERVICE,
                method.upper(),
                url,
                headers=headers,
                raw=raw,
                timeout_s=TIMEOUT_S,
                max_bytes=MAX_BYTES,
                retries=0,  # the SDK repeats calls itself, the same idempotency key with them
            )
        except http.HttpFailed as failure:
            again = failure.reason == "connection"
            raise stripe.APIConnectionError(failure.reason, should_retry=again) from None  # type: ignore[no-untyped-call]
        return answer.body.decode("utf-8", "replace"), answer.status, answer.headers

    def close(self) -> None:
        """Its connections are those of `lib.http`."""


def connect(*, url: str, secret_key: str) -> stripe.StripeClient:
    return stripe.StripeClient(
        secret_key, base_addresses={"api": url.rstrip("/")}, http_client=Wire(), max_network_retries=RETRIES
    )


def understand(call: Callable[[], T]) -> T:
    """Stripe's ways to fail, in our words. What it says of a request may repeat our key: only names are kept."""
    try:
        return call()
    except stripe.CardError as declined:
        raise Refused(declined_because(declined)) from None
    except stripe.InvalidRequestError as error:
        if error.http_status == 404 or error.code == "resource_missing":
            raise Gone(error.code or "not found") from None
        raise Refused(str(error.code or error.param or "invalid")[:64]) from None
    except stripe.PermissionError as error:
        if error.code == "account_invalid":  # an owner's account that is closed, or was never one of ours
            raise Gone(error.code) from None
        raise ServiceDown(f"Stripe answered {error.http_status} {type(error).__name__}") from None
    except stripe.StripeError as error:
        raise ServiceDown(f"Stripe answered {error.http_status or 'nothing'} {type(error).__name__}") from None
    except (LookupError, TypeError, AttributeError, ValueError, InvalidOperation) as nonsense:
        raise ServiceDown(f"an answer without {nonsense}") from nonsense


def declined_because(error: stripe.CardError) -> str:
    """`insufficient_funds` rather than `card_declined`, where the bank says so much."""
    envelope = error.json_body.get("error") if isinstance(error.json_body, dict) else None
    more = envelope.get("decline_code") if isinstance(envelope, dict) else None
    return str(more or error.code or "declined")[:48]


def plain(answer: Any) -> dict[str, Any]:
    """No object of the SDK goes further than the adapter."""
    body: dict[str, Any] = answer.to_dict()
    return body


def once(request_id: str) -> Any:
    """By this key Stripe knows a repetition, and answers it again."""
    return {"idempotency_key": request_id}


def cents(amount: Decimal) -> int:
    """Stripe counts dollars in cents."""
    return int((amount * 100).to_integral_exact())


def dollars(cents: Any) -> Decimal:
    if isinstance(cents, bool) or not isinstance(cents, int):
        raise TypeError("a sum in cents")
    return Decimal(cents) / 100
