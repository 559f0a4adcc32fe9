"""Compute credits: ten at sign-up, and dated rates."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from accounts.models import Organisation
from billing import credits, wallet
from billing.models import CreditRate
from lib.clock import now
from tests.people import Person


def test_ten_credits_once(organisation: Organisation) -> None:
    for _ in range(3):
        credits.grant_signup_credits(organisation)
    assert wallet.balances(organisation) == {"USD": 0, "CREDIT": 10}


def test_the_rate_of_the_day(db: None) -> None:
    CreditRate.objects.create(
        resource="cpu", credits_per_hour=Decimal("0.05"), valid_from=datetime(2026, 6, 1, tzinfo=UTC)
    )
    assert credits.rate("cpu", datetime(2026, 5, 31, 23, 59, tzinfo=UTC)) == Decimal("0.02")
    assert credits.rate("cpu", datetime(2026, 6, 1, tzinfo=UTC)) == Decimal("0.05")
    for resource, moment in (("cpu", datetime(2025, 1, 1, tzinfo=UTC)), ("abacus", now())):
        with pytest.raises(credits.NoRate):
            credits.rate(resource, moment)


def test_credits_by_api(owner: Person, organisation: Organisation) -> None:
    credits.grant_signup_credits(organisation)
    answer = owner.api("get", "credits/").json()
    assert answer["available"] == {"amount": "10.000000", "currency": "CREDIT"}
    rates = {rate["resource"]: rate["credits_per_hour"] for rate in answer["rates"]}
    assert rates["cpu"] == "0.020000"
    assert "h100-sxm-80" in rates


def test_the_page_names_the_cards(owner: Person, organisation: Organisation) -> None:
    page = owner.client.get("/billing/credits/").content.decode()
    assert "H100 SXM" in page
    assert "h100-sxm-80" not in page
    with pytest.raises(credits.NoRate, match="“Titan Z” cannot be paid"):
        credits.rate("titan-z", now(), name="Titan Z")
