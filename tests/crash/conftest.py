"""The process whose children are killed, and what each flow begins with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.crash.lives import Runner


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    from tests.crash.lives import Runner

    started = Runner(tmp_path_factory.mktemp("crash"))
    yield started
    started.stop()


@pytest.fixture
def peers(peer: Callable[[str], Any]) -> Callable[[tuple[str, ...]], None]:
    """`peers(("paypal",))`: those have started."""

    def start(slugs: tuple[str, ...]) -> None:
        from billing.payments.services import service

        service.cache_clear()
        for slug in slugs:
            peer(slug)

    return start


@pytest.fixture
def platform(transactional_db: None) -> None:
    """Plans, and our own accounts, each of which would else be made at its first use, at one point more."""
    from billing import seeds
    from billing.accounts import SHARDS, Kind, account_of

    seeds.seed()
    for kind, currency, label in (
        (Kind.REVENUE, "USD", ""),
        (Kind.REVENUE, "USD", "plans"),
        (Kind.REVENUE, "CREDIT", ""),
        (Kind.CREDIT_ISSUE, "CREDIT", ""),
        (Kind.PROVIDER_COST, "USD", "vast"),
    ):
        for shard in range(SHARDS):
            account_of(None, kind, currency, label=label, shard=shard)
    for currency, label in (("USD", "paypal"), ("USD", "stripe"), ("USD", "bank"), ("USDC", "usdc:sandbox")):
        account_of(None, Kind.CLEARING, currency, label=label)
    for currency in ("USD", "USDC"):
        account_of(None, Kind.CONVERSION, currency)
