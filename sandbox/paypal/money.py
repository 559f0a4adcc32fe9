"""Amounts as PayPal takes them: `{"currency_code": "USD", "value": "25.00"}`, above zero, two places."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sandbox.paypal.errors import Problem

VALUE = re.compile(r"-?[0-9]+|-?[0-9]*\.[0-9]+")
CURRENCY = "USD"
CENT = Decimal("0.01")
LARGEST = Decimal("999999999999999.99")
FEE_SHARE, FEE_FIXED = Decimal("0.0349"), Decimal("0.49")
MINUS = {"shipping_discount", "discount"}


def read_amount(value: Any, field: str) -> Decimal:
    """A positive amount in USD. Raises Problem that names the field."""
    amount = _read(value, field)
    if amount <= 0:
        raise Problem(422, "CANNOT_BE_ZERO_OR_NEGATIVE", field=f"{field}/value", value=str(value["value"]))
    return amount


def _read(value: Any, field: str) -> Decimal:
    if not isinstance(value, dict):
        raise Problem(400, "MISSING_REQUIRED_PARAMETER", field=field)
    for name in ("currency_code", "value"):
        if name not in value:
            raise Problem(400, "MISSING_REQUIRED_PARAMETER", field=f"{field}/{name}")
    text = value["value"]
    if not isinstance(text, str) or len(text) > 32 or not VALUE.fullmatch(text):
        raise Problem(400, "INVALID_PARAMETER_SYNTAX", field=f"{field}/value", value=str(text))
    if value["currency_code"] != CURRENCY:
        currency = str(value["currency_code"])
        raise Problem(422, "INVALID_CURRENCY_CODE", field=f"{field}/currency_code", value=currency)
    amount = Decimal(text)
    if amount != amount.quantize(CENT, rounding=ROUND_HALF_UP):
        raise Problem(422, "DECIMAL_PRECISION", field=f"{field}/value", value=text)
    if amount > LARGEST:
        raise Problem(422, "MAX_VALUE_EXCEEDED", field=f"{field}/value", value=text)
    return amount


def check_breakdown(amount: dict[str, Any], field: str) -> None:
    """Where the parts of a sum are given, they must add up."""
    parts = amount.get("breakdown")
    if not parts:
        return
    if not isinstance(parts, dict):
        raise Problem(400, "INVALID_PARAMETER_SYNTAX", field=f"{field}/breakdown")
    total = Decimal(0)
    for name, part in parts.items():
        value = _read(part, f"{field}/breakdown/{name}")
        total += -value if name in MINUS else value
    if total != Decimal(amount["value"]):
        raise Problem(422, "AMOUNT_MISMATCH", field=f"{field}/value", value=amount["value"])


def money(amount: Decimal) -> dict[str, str]:
    return {"currency_code": CURRENCY, "value": f"{amount.quantize(CENT):f}"}


def fee(amount: Decimal) -> Decimal:
    """PayPal's share of a payment."""
    return min(amount, (amount * FEE_SHARE + FEE_FIXED).quantize(CENT, rounding=ROUND_HALF_UP))
