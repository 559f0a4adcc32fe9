"""How a sale is taxed, and that net and tax add up to the price to the cent."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import taxes
from billing.models import TaxRate
from billing.taxes import Tax, Treatment, is_eu_business, net_of, tax_of

DAY = date(2026, 11, 21)


def of(country: str, tax_id: str = "", seller: str = "EC", day: date = DAY) -> Tax:
    return tax_of(country=country, tax_id=tax_id, seller_country=seller, day=day)


RATES = {
    "EC": 15, "ES": 21, "DE": 19, "FR": 20, "IT": 22, "NL": 21, "PT": 23, "MX": 16, "CO": 19, "PE": 18, "CL": 19, "AR": 21
}  # fmt: skip


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(("country", "percent"), RATES.items())
def test_rates(country: str, percent: int) -> None:
    assert of(country).treatment == Treatment.TAXED
    assert of(country).percent == percent


@pytest.mark.usefixtures("db")
def test_every_member_state_has_a_rate_and_every_row_a_source() -> None:
    rows = list(TaxRate.objects.all())
    assert {row.country for row in rows if row.percent is not None} >= taxes.EU
    assert all(row.source.startswith("https://") for row in rows)
    assert all(row.reason for row in rows if row.percent is None)


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("country", ["BR", "US", "GB", "HK", "JP", "AQ"])
def test_no_tax_of_ours_has_a_reason(country: str) -> None:
    tax = of(country)
    assert (tax.treatment, tax.percent) == (Treatment.NOT_TAXED, Decimal(0))
    assert tax.note


@pytest.mark.usefixtures("db")
def test_an_eu_business_accounts_for_it_itself() -> None:
    assert of("DE", "DE136695976").treatment == Treatment.REVERSE_CHARGE
    assert of("DE", "136 695 976").treatment == Treatment.REVERSE_CHARGE
    assert of("DE", "DE136695977").treatment == Treatment.TAXED  # a wrong check digit
    assert of("FR", "DE136695976").treatment == Treatment.TAXED  # of another state
    assert of("DE", "DE136695976", seller="DE").percent == 19  # at home
    assert of("ES", "ESB58378431", seller="DE").treatment == Treatment.REVERSE_CHARGE
    assert of("EC", "1790011674001").percent == 15


@pytest.mark.parametrize(
    ("country", "tax_id"),
    [("GR", "EL094259216"), ("GR", "094259216"), ("FR", "FR40303265045"), ("IT", "it 00743110157")],
)
def test_vat_ids(country: str, tax_id: str) -> None:
    assert is_eu_business(country, tax_id)


@pytest.mark.parametrize("tax_id", ["", "XX", "DE", "💶", "DE" * 16, "DE136695976'; --"])
def test_what_is_no_vat_id(tax_id: str) -> None:
    assert is_eu_business("DE", tax_id) == (tax_id == "DE136695976'; --")  # signs that are no letters count for nothing


@pytest.mark.usefixtures("db")
def test_the_rate_of_the_day() -> None:
    assert of("EC", day=date(2024, 3, 31)).treatment == Treatment.NOT_TAXED  # before our first row
    TaxRate.objects.create(
        country="EC", name="IVA", percent=12, source="https://www.sri.gob.ec/", valid_from="2017-06-01"
    )
    assert of("EC", day=date(2024, 3, 31)).percent == 12
    assert of("EC", day=date(2024, 4, 1)).percent == 15


@pytest.mark.usefixtures("db")
def test_an_unknown_country_is_the_sellers() -> None:
    assert of("").percent == 15


def test_hand_computed() -> None:
    sums = [("115.00", "15", "100.00"), ("25.00", "15", "21.74"), ("49.00", "21", "40.50"), ("0.01", "27", "0.01")]
    for gross, percent, net in sums:
        assert net_of(Decimal(gross), Decimal(percent), "USD") == Decimal(net)


CENTS = st.integers(1, 1_000_000).map(lambda cents: Decimal(cents) / 100)
PERCENTS = st.sampled_from([Decimal(0), *(Decimal(rate) for rate in (15, 19, 20, 21, 27)), Decimal("25.5")])


@given(parts=st.lists(CENTS, min_size=1, max_size=8), percent=PERCENTS)
def test_parts_add_up_to_the_whole(parts: list[Decimal], percent: Decimal) -> None:
    """As credit notes do: each is what the tax of all so far is more than that of those before."""
    gross_so_far = net_so_far = Decimal(0)
    for part in parts:
        gross_so_far += part
        net = net_of(gross_so_far, percent, "USD") - net_so_far
        assert 0 <= net <= part
        net_so_far += net
    assert net_so_far == net_of(sum(parts, Decimal(0)), percent, "USD")
