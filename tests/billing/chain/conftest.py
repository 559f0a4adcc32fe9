"""A real chain for each test, and a treasury that no earlier test has used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.billing.chain.driver import Chain, Wallet

if TYPE_CHECKING:
    from accounts.models import Organisation


@pytest.fixture
def chain(
    peer: Callable[[str], Any], settings: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Chain]:
    settings.CHAIN_KEY_FILE = tmp_path / "treasury_key"
    settings.CHAIN_TREASURY = ""
    address = peer("chain").url
    settings.CHAINS = {"sandbox": [address]}
    started = Chain(address, tmp_path_factory.getbasetemp())
    yield started
    started.call("evm_setAutomine", True)


@pytest.fixture
def treasury(chain: Chain) -> str:
    from billing.chain import nodes

    return nodes.treasury()


@pytest.fixture
def payer(chain: Chain, organisation: Organisation) -> Wallet:
    """A wallet with 1,000 USDC that the organisation has linked."""
    from billing.models import LinkedWallet

    wallet = Wallet()
    chain.fund(wallet)
    LinkedWallet.objects.create(organisation=organisation, address=wallet.address)
    return wallet
