"""A newcomer tries USDC on the chain that `make run` starts: link a wallet, test money, deposit, credited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lib.local.anvil import find_anvil
from tests.billing.chain.driver import Chain, Wallet
from tests.e2e.customer import Customer, wait
from tests.e2e.site import Site


@pytest.mark.skipif(find_anvil() is None, reason="anvil is not here (package.json, ANVIL)")
def test_deposit_on_the_chain_of_the_sandbox(site: Site, tmp_path: Path) -> None:
    customer, wallet = Customer(site.url), Wallet()
    chain = customer.get("wallets/chains")["items"][0]
    asked = {"chain": chain["chain"], "address": wallet.address}

    message = customer.post("wallets/nonce", asked).json()["message"]
    linked = customer.post("wallets/link", {"message": message, "signature": wallet.sign(message)})
    assert (linked.status_code, linked.json()["address"]) == (201, wallet.address)
    assert customer.post("wallets/faucet", asked).json() == {"sent": True}
    node = Chain(site.value("CHAIN_URL"), tmp_path)
    node.pay(wallet, chain["deposit_address"], "123.45")

    def credited() -> Any:
        return [row for row in customer.get("wallets/deposits")["items"] if row["status"] == "credited"]

    # Nobody mines here but the chain itself: its next blocks make the deposit final.
    [deposit] = wait("credited", credited)
    assert deposit["amount"]["amount"] == "123.450000"
    balances = {row["currency"]: row["available"]["amount"] for row in customer.get("wallets/balance")["items"]}
    assert balances["USDC"] == "123.450000"
