"""What the tests of money share. Models are imported inside: this file is read before Django is set up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from accounts.models import Organisation


@pytest.fixture(autouse=True)
def _books_balance(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test of money ends with a ledger that balances."""
    uses_database = bool({"db", "transactional_db"} & set(request.fixturenames))
    if uses_database:
        request.getfixturevalue("transactional_db" if "transactional_db" in request.fixturenames else "db")
    yield
    if uses_database:
        from billing import ledger, lots

        assert [*ledger.check(), *lots.check()] == []


@pytest.fixture(autouse=True)
def _plans(request: pytest.FixtureRequest) -> None:
    """Plans and credit rates, where there is a database."""
    if {"db", "transactional_db"} & set(request.fixturenames):
        request.getfixturevalue("transactional_db" if "transactional_db" in request.fixturenames else "db")
        from billing import seeds

        seeds.seed()


@pytest.fixture
def operator(db: None) -> Organisation:
    """Somebody whose machines others rent."""
    from tests.people import make_organisation

    return make_organisation("Operators")


@pytest.fixture
def paypal(peer: Callable[[str], Any]) -> str:
    """The address of the PayPal peer that settings point at."""
    from billing.payments.services import service

    service.cache_clear()
    url: str = peer("paypal").url
    return url


@pytest.fixture
def stripe(peer: Callable[[str], Any]) -> str:
    """The address of the Stripe peer that settings point at."""
    from billing.payments.services import service

    service.cache_clear()
    url: str = peer("stripe").url
    return url
