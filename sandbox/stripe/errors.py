"""Stripe's error envelope, `{"error": {"type", "code", "decline_code", "param", "message", …}}`, and its wording."""

from __future__ import annotations

from typing import Any

from sandbox.stripe.documents import shown
from sandbox.wire import Json

DOCS = "https://stripe.com/docs/error-codes"
NAMES = {"test_helpers.test_clock": "test clock", "invoiceitem": "invoiceitem"}


class Problem(Exception):
    """A refusal. What the request has written is taken back."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        param: str = "",
        status: int = 400,
        type: str = "invalid_request_error",
        object: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        named = {"code": code, "param": param}
        self.error: dict[str, Any] = {
            **{name: value for name, value in named.items() if value},
            **({"doc_url": f"{DOCS}/{code.replace('_', '-')}"} if code else {}),
            "message": message,
            "type": type,
            **({object["object"]: shown(object)} if object else {}),
            **{name: shown(value) if isinstance(value, dict) else value for name, value in more.items()},
        }

    @property
    def body(self) -> dict[str, Any]:
        return {"error": self.error}

    def answer(self) -> Json:
        return Json(self.body, self.status)


class WrongParameter(Problem):
    """The request itself is wrong: nothing was begun, so its idempotency key stays free."""


class Declined(Problem):
    """A card was refused. What the attempt has written stays: the failed charge, the intent's last error, the events."""

    def __init__(self, message: str, *, code: str, decline_code: str = "", **more: Any) -> None:
        if decline_code:
            more["decline_code"] = decline_code
        super().__init__(message, code=code, status=402, type="card_error", **more)


def missing(kind: str, id: str, *, param: str = "id") -> Problem:
    """404 for an object named in the path, 400 for one named by a parameter."""
    name = NAMES.get(kind, kind.rpartition(".")[2].replace("_", " ") if kind == "test_helpers" else kind)
    status = 404 if param == "id" else 400
    return Problem(f"No such {name}: '{id}'", code="resource_missing", param=param, status=status)
