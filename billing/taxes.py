"""What part of a price is tax: by the buyer's country, at the rate of the day. Prices include it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from stdnum.eu import vat

from billing.models import Invoice, TaxRate
from lib.money import round_for_payment

Treatment = Invoice.Treatment
# ISO 3166-1; VAT ids write Greece as EL.
EU_CODES = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
EU = frozenset(EU_CODES.split())
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Tax:
    """`percent` is part of the price: 15 means that 115 are 100 and 15. `note` says why there is none."""

    treatment: str
    name: str
    percent: Decimal = ZERO
    note: str = ""


def tax_of(*, country: str, tax_id: str, seller_country: str, day: date) -> Tax:
    """How a sale to this buyer is taxed. A buyer whose country we do not know is taxed as one of the seller's own."""
    country = country or seller_country
    row = TaxRate.objects.filter(country=country, valid_from__lte=day).order_by("-valid_from").first()
    if row is None:
        return Tax(Treatment.NOT_TAXED, "", note="We are not registered there")
    if row.percent is None:
        return Tax(Treatment.NOT_TAXED, row.name, note=row.reason)
    if country != seller_country and is_eu_business(country, tax_id):
        return Tax(Treatment.REVERSE_CHARGE, row.name)
    return Tax(Treatment.TAXED, row.name, row.percent)


def is_eu_business(country: str, tax_id: str) -> bool:
    """Whether this is a VAT id of that member state, by its form and check digits; with or without its two letters."""
    if country not in EU:
        return False
    prefix = "EL" if country == "GR" else country
    written = "".join(sign for sign in tax_id.upper() if sign.isalnum())
    return bool(vat.is_valid(prefix + written.removeprefix(prefix)))


def net_of(gross: Decimal, percent: Decimal, currency: str) -> Decimal:
    """The price without its tax, in whole cents; what is left of `gross` is the tax, so that both add up to it."""
    return round_for_payment(gross * 100 / (100 + percent), currency)
