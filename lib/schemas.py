"""What routes of several apps answer with."""

from __future__ import annotations

from ninja import Schema
from pydantic import Field


class Money(Schema):
    """As `lib.money.money_json` makes it: six places, as text."""

    amount: str = Field(examples=["2.390000"])
    currency: str = Field(examples=["USD"])
