"""The process whose children are killed, and what each flow begins with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from tests.crash.lives import Runner


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    from tests.crash.lives import Runner

    started = Runner(tmp_path_factory.mktemp("crash"))
    yield started
    started.stop()


@pytest.fixture
def peers(peer: Callable[[str], Any]) -> Iterator[Callable[[tuple[str, ...]], None]]:
    """`peers(("paypal",))`: those have started, and are empty. Whoever comes after finds them at the wall's time."""
    from billing.payments.services import service

    urls: list[str] = []

    def start(slugs: tuple[str, ...]) -> None:
        service.cache_clear()
        started = [peer(slug) for slug in slugs]
        urls.extend(one.url for one in started if one.slug != "chain")  # a chain only grows
        empty()

    def empty() -> None:
        for url in urls:
            assert requests.post(f"{url}/sandbox/reset", timeout=10).ok

    yield start
    empty()


@pytest.fixture
def platform(transactional_db: None) -> None:
    """Plans, and our own accounts, each of which would else be made at its first use, at one point more."""
    from billing import seeds
    from billing.accounts import SHARDS, Kind
    from billing.models import Account

    seeds.seed()
    spread = (
        (Kind.REVENUE, "USD", ""),
        (Kind.REVENUE, "USD", "plans"),
        (Kind.REVENUE, "CREDIT", ""),
        (Kind.CREDIT_ISSUE, "CREDIT", ""),
        (Kind.PROVIDER_COST, "USD", "vast"),
    )
    whole = (
        *((Kind.CLEARING, "USD", label) for label in ("paypal", "stripe", "bank")),
        (Kind.CLEARING, "USDC", "usdc:sandbox"),
        *((Kind.CONVERSION, currency, "") for currency in ("USD", "USDC")),
    )
    keys = [(*key, shard) for key in spread for shard in range(SHARDS)] + [(*key, 0) for key in whole]
    Account.objects.bulk_create(
        Account(kind=kind, currency=currency, label=label, shard=shard, no_overdraft=False)
        for kind, currency, label, shard in keys
    )
