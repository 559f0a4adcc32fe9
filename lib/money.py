"""Money is Decimal with six places inside; this module alone rounds it."""

from __future__ import annotations

from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Any

from django.utils.translation import gettext as _

from lib.errors import Invalid

SIX_PLACES = Decimal("0.000001")
PLACES = {"USD": 2, "USDC": 6, "CREDIT": 2}
LARGEST = Decimal("99999999999999")


def round_money(amount: Decimal) -> Decimal:
    """To the six places in which amounts are stored."""
    return amount.quantize(SIX_PLACES, rounding=ROUND_HALF_EVEN)


def round_for_payment(amount: Decimal, currency: str) -> Decimal:
    """To the places in which the currency is paid: cents for USD."""
    return amount.quantize(Decimal(1).scaleb(-PLACES[currency]), rounding=ROUND_HALF_EVEN)


def floor_for_payment(amount: Decimal, currency: str) -> Decimal:
    """As much of it as can be paid: what is less than a cent stays."""
    return amount.quantize(Decimal(1).scaleb(-PLACES[currency]), rounding=ROUND_FLOOR)


def parse_amount(text: str | Decimal, *, currency: str, field: str = "amount", places: int | None = None) -> Decimal:
    """A positive amount as a person or program wrote it; `places` for prices that are finer than what is paid.

    Raises Invalid beside the field.
    """
    try:
        amount = Decimal(text)
    except (ArithmeticError, ValueError, TypeError):
        raise Invalid(_("This is not an amount."), fields={field: [_("Write an amount such as 25.00.")]}) from None
    most = PLACES[currency] if places is None else places
    message = ""
    if not amount.is_finite() or amount <= 0:
        message = _("Write an amount above zero.")
    elif amount > LARGEST:
        message = _("This amount is too large.")
    elif amount != amount.quantize(Decimal(1).scaleb(-most)):
        message = _("Write at most %(n)d decimal places.") % {"n": most}
    if message:
        raise Invalid(message, fields={field: [message]})
    return amount


def money_json(amount: Decimal, currency: str) -> dict[str, Any]:
    """`{"amount": "2.390000", "currency": "USD"}`"""
    return {"amount": f"{round_money(amount):f}", "currency": currency}
