from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import Invalid
from lib.money import money_json, parse_amount, round_for_payment, round_money

AMOUNTS = st.decimals(min_value=-(10**13), max_value=10**13, allow_nan=False, allow_infinity=False, places=9)


@given(AMOUNTS)
def test_rounding_moves_an_amount_by_half_a_step_at_most_and_only_once(amount: Decimal) -> None:
    rounded = round_money(amount)
    assert abs(rounded - amount) <= Decimal("0.0000005")
    assert round_money(rounded) == rounded


@pytest.mark.parametrize(
    ("amount", "rounded"),
    [("0.0000005", "0.000000"), ("0.0000015", "0.000002"), ("0.00000150001", "0.000002"), ("-0.0000025", "-0.000002")],
)
def test_a_half_goes_to_the_even_neighbour(amount: str, rounded: str) -> None:
    assert str(round_money(Decimal(amount))) == rounded


@pytest.mark.parametrize(
    ("amount", "currency", "paid"),
    [("2.345", "USD", "2.34"), ("2.355", "USD", "2.36"), ("2.3450005", "USDC", "2.345000"), ("7", "CREDIT", "7.00")],
)
def test_what_is_paid_has_the_places_of_its_currency(amount: str, currency: str, paid: str) -> None:
    assert str(round_for_payment(Decimal(amount), currency)) == paid


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [("25", "USD", "25"), ("25.10", "USD", "25.1"), (" 3.5 ", "CREDIT", "3.5"), ("0.000001", "USDC", "0.000001")],
)
def test_an_amount_as_people_write_it(text: str, currency: str, amount: str) -> None:
    assert parse_amount(text, currency=currency) == Decimal(amount)


NO_AMOUNTS = "|25,10|$5|0|-1|-0.01|nan|sNaN|inf|-Infinity|1e999999|1e-999999|100000000000000|0.001|25.10.1|0x10"


@pytest.mark.parametrize("text", NO_AMOUNTS.split("|"))
def test_what_is_no_payable_amount_is_refused_beside_its_field(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_amount(text, currency="USD", field="top_up")
    assert list(refusal.value.fields) == ["top_up"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("abc", "Write an amount such as 25.00."),
        ("0", "Write an amount above zero."),
        ("-1", "Write an amount above zero."),
        ("1.234", "Write at most 2 decimal places."),
        ("1e15", "This amount is too large."),
    ],
)
def test_a_refusal_says_what_to_write(text: str, said: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_amount(text, currency="USD")
    assert refusal.value.fields == {"amount": [said]}


def test_a_price_may_be_finer_than_what_is_paid() -> None:
    assert parse_amount("0.0042", currency="USD", places=4) == Decimal("0.0042")
    with pytest.raises(Invalid):
        parse_amount("0.00421", currency="USD", places=4)


@given(st.text(max_size=30))
def test_no_text_raises_anything_but_a_refusal(text: str) -> None:
    try:
        amount = parse_amount(text, currency="USD")
    except Invalid:
        return
    assert amount > 0
    assert amount == round_for_payment(amount, "USD")


def test_money_in_answers_is_text_with_six_places_and_no_exponent() -> None:
    assert money_json(Decimal("2.39"), "USD") == {"amount": "2.390000", "currency": "USD"}
    assert money_json(Decimal("1E+3"), "CREDIT") == {"amount": "1000.000000", "currency": "CREDIT"}
    assert money_json(Decimal("0E-9"), "USD")["amount"] == "0.000000"
