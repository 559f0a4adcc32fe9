"""People write numbers as their language does; programs always with a point."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.http import QueryDict
from django.utils import translation

from billing.forms.payments import TopUpForm
from enrollment.forms import DeployForm
from lib.forms import read_number
from tests.people import Person

TOKEN = "t" * 32


@pytest.mark.parametrize(
    ("language", "written", "read"),
    [
        ("es", "25,50", "25.50"),
        ("es", "25.50", "25.50"),
        ("en", "25.50", "25.50"),
        ("en", "25,50", "25,50"),
        ("es", "abc", "abc"),
        ("es", "", ""),
    ],
)
def test_a_number_in_the_readers_language(language: str, written: str, read: str) -> None:
    with translation.override(language):
        assert read_number(written) == read


def test_the_amount_of_a_top_up() -> None:
    with translation.override("es"):
        form = TopUpForm((), QueryDict(f"amount=25,50&token={TOKEN}&pay_with=paypal"))
        assert form.is_valid(), form.errors
    assert form.sum == Decimal("25.50")


@pytest.mark.django_db
def test_a_spend_cap() -> None:
    with translation.override("es"):
        form = DeployForm({"spend_cap": "12,5"})
        form.is_valid()
    assert form.cleaned_data["spend_cap"] == Decimal("12.5")


def test_the_api_knows_the_point_only(owner: Person) -> None:
    body, headers = {"amount": "25,50"}, {"Accept-Language": "es", "Idempotency-Key": TOKEN}
    assert owner.api("post", "wallets/deposit", body, headers).status_code == 422
