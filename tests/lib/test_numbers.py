"""Numbers on pages: rounded, never cut off; with their units; in the reader's language."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.template import Context, Template
from django.utils import translation
from freezegun import freeze_time

from lib.templatetags.numbers import ago, bytes_short, money, number, span, usd

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "—"),
        (Decimal(0), "$0.00"),
        (Decimal("2.390000"), "$2.39"),
        (Decimal("2.399"), "$2.40"),
        (Decimal("1234567.899"), "$1,234,567.90"),
        (Decimal("0.1"), "$0.10"),
        (Decimal("0.09996"), "$0.1000"),
        (Decimal("0.0042"), "$0.0042"),
        (Decimal("0.00429"), "$0.0043"),
        (Decimal("0.000042"), "$0.000042"),
        (Decimal("-3.5"), "−$3.50"),
        (2.39, "$2.39"),
        (7, "$7.00"),
    ],
)
def test_dollars(amount: Any, text: str) -> None:
    assert usd(amount) == text


def test_dollars_with_places_of_ones_choice() -> None:
    assert usd(Decimal("0.0042"), 3) == "$0.004"
    assert usd(Decimal("0.0456"), 3) == "$0.046"


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (None, "USD", "—"),
        (Decimal("2.399"), "USD", "$2.40"),
        (Decimal("9.999"), "CREDIT", "10.00 credits"),
        (Decimal(1500), "USDC", "1,500.00 USDC"),
    ],
)
def test_money_with_its_unit(amount: Decimal | None, currency: str, text: str) -> None:
    assert money(amount, currency) == text


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (None, 0, "—"),
        (0, 0, "0"),
        (110168, 0, "110,168"),
        (99.6, 0, "100"),
        (99.56, 1, "99.6"),
        (1e-7, 2, "0.00"),
        (1e30, 0, "1" + ",000" * 10),
        (3, 1, "3.0"),
    ],
)
def test_plain_numbers(value: float | None, places: int, text: str) -> None:
    assert number(value, places) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_960_000, "2.0 MB"),
        (80_000_000_000, "80.0 GB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_bytes(value: float | None, text: str) -> None:
    assert bytes_short(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "—"),
        (0, "0.0 s"),
        (8.44, "8.4 s"),
        (8.46, "8.5 s"),
        (10, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (190, "3 min 10 s"),
        (600, "10 min"),
        (1234, "20 min"),
        (7 * 3600 + 19 * 60, "7 h 19 min"),
        (3600, "1 h"),
        (2 * 86400 + 4 * 3600 + 59, "2 d 4 h"),
        (86400, "1 d"),
    ],
)
def test_spans_of_time(seconds: float | None, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "now"), (30, "30 s ago"), (90, "1 min ago"), (7200, "2 h ago"), (86400, "24 h ago"), (200_000, "2 days ago")],
)
def test_how_long_ago(seconds: int, text: str) -> None:
    with freeze_time(NOON):
        assert ago(NOON - timedelta(seconds=seconds)) == text


def test_what_never_happened() -> None:
    assert ago(None) == "never"


def test_the_readers_language_decides_the_signs() -> None:
    with translation.override("es"):
        assert usd(Decimal("1234567.899")) == "$1\xa0234\xa0567,90"
        assert span(8.44) == "8,4 s"


def test_every_template_has_them() -> None:
    shown = Template('{{ price|usd }} {{ price|money:"CREDIT" }} {{ size|bytes_short }}')
    assert shown.render(Context({"price": Decimal("2.399"), "size": 1999})) == "$2.40 2.40 credits 2.0 kB"
