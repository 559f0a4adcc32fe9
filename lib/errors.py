"""The one error that doors answer with: a code for programs, a message for people, fields for forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class AppError(Exception):
    """A refusal that the caller can act on. `fields` maps a field's name to its messages."""

    status = 400
    code = "bad_request"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        fields: Mapping[str, list[str]] | None = None,
    ) -> None:
        super().__init__(str(message))
        self.message = str(message)
        self.code = code or self.code
        self.status = status or self.status
        self.fields = dict(fields or {})

    def as_dict(self) -> dict[str, Any]:
        return {"error": {"code": self.code, "message": self.message, "fields": self.fields}}


class Invalid(AppError):
    """The request is well formed and wrong: 422 with the fields that are."""

    status = 422
    code = "invalid"


class NotFound(AppError):
    """It does not exist, or it is not yours: the answer is the same for both."""

    status = 404
    code = "not_found"


class Forbidden(AppError):
    """It is yours to see, but your role may not do this."""

    status = 403
    code = "forbidden"


class Conflict(AppError):
    """The object is not in a state that allows this."""

    status = 409
    code = "conflict"


class PaymentRequired(AppError):
    status = 402
    code = "payment_required"


class TooMany(AppError):
    """Asked too often; `retry_after_s` says when it is worth asking again."""

    status = 429
    code = "too_many_requests"

    def __init__(self, message: str, *, retry_after_s: int = 60) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
