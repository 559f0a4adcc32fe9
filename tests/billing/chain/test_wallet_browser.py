"""The page with a wallet in the browser: connect, link, deposit, decline, as a person does it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from billing import wallet
from billing.chain import deposits, nodes
from billing.models import Deposit, LinkedWallet
from tests.billing.chain.driver import Chain, Wallet
from tests.people import Person

INJECTED = Path(__file__).with_name("injected.js")
DECLINED = {"code": 4001, "message": "User rejected the request."}


class Extension:
    """What the extension does when the page asks. With `declines` its owner says no."""

    def __init__(self, chain: Chain, account: Wallet) -> None:
        self.chain = chain
        self.account = account
        self.chain_id = "0x1"  # as MetaMask begins: on Ethereum, without our chain
        self.knows: set[str] = {"0x1"}
        self.declines = False

    def __call__(self, method: str, params: list[Any]) -> dict[str, Any]:
        if self.declines and method in {"personal_sign", "eth_sendTransaction"}:
            return {"error": DECLINED}
        if method == "wallet_switchEthereumChain" and params[0]["chainId"] not in self.knows:
            return {"error": {"code": 4902, "message": "Unrecognized chain"}}
        return {"result": self._act(method, params)}

    def _act(self, method: str, params: list[Any]) -> Any:
        if method in {"eth_requestAccounts", "eth_accounts"}:
            return [self.account.address]
        if method == "eth_chainId":
            return self.chain_id
        if method in {"wallet_switchEthereumChain", "wallet_addEthereumChain"}:
            self.chain_id = params[0]["chainId"]
            self.knows.add(self.chain_id)
            return None
        if method == "personal_sign":
            return self.account.sign(bytes.fromhex(params[0][2:]).decode())
        if method == "eth_sendTransaction":
            return self._send(params[0])
        return self.chain.call(method, *params)

    def _send(self, wanted: dict[str, str]) -> str:
        assert wanted["from"] == self.account.address
        to, units = "0x" + wanted["data"][34:74], int(wanted["data"][74:138], 16)
        return self.chain.pay(self.account, to, str(Decimal(units) / 10**6), token=wanted["to"])


@pytest.fixture
def open_page(
    transactional_db: None, live_server: Any, page: Page, owner: Person, chain: Chain, settings: Any
) -> Callable[[Extension], Page]:
    expect.set_options(timeout=30_000)  # the first signature loads web3
    settings.PUBLIC_URL = live_server.url
    settings.CSRF_TRUSTED_ORIGINS = [live_server.url]

    def go(extension: Extension) -> Page:
        session = owner.client.cookies[settings.SESSION_COOKIE_NAME].value
        page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        page.expose_function("walletActs", extension)
        page.add_init_script(path=INJECTED)
        page.goto(f"{live_server.url}/billing/usdc/")
        return page

    return go


def test_connect_link_deposit(open_page: Callable[[Extension], Page], owner: Person, chain: Chain) -> None:
    assert owner.organisation is not None
    deposits.scan("sandbox")
    extension = Extension(chain, Wallet())
    chain.fund(extension.account, "250")
    page = open_page(extension)
    page.get_by_role("button", name="Connect a wallet").click()
    expect(page.get_by_text("250.000000 USDC")).to_be_visible()
    assert extension.chain_id == "0x7a69", "the page has told the wallet of the sandbox's chain"

    extension.declines = True
    page.get_by_role("button", name="Link this wallet").click()
    expect(page.get_by_text("You declined in your wallet")).to_be_visible()
    extension.declines = False
    page.get_by_role("button", name="Link this wallet").click()
    expect(page.locator("#link code", has_text=extension.account.address)).to_be_visible()
    assert LinkedWallet.objects.get().organisation == owner.organisation

    page.get_by_role("button", name="Connect a wallet").click()
    amount = page.locator("[data-wallet-amount]")
    amount.fill("12,5x")
    page.locator("[data-wallet-deposit]").click()
    expect(page.get_by_text("Write an amount such as 25.00.")).to_be_visible()
    amount.fill("12.5")
    page.locator("[data-wallet-deposit]").click()
    expect(page.get_by_text("Sent. It appears above in a moment.")).to_be_visible()
    assert chain.usdc_of(nodes.treasury()) == Decimal("12.5")

    deposits.scan("sandbox")
    page.evaluate("document.body.dispatchEvent(new CustomEvent('live:deposit.changed'))")
    expect(page.get_by_text("Seen on the chain")).to_be_visible()
    chain.finalize()
    deposits.scan("sandbox")
    page.evaluate("document.body.dispatchEvent(new CustomEvent('live:deposit.changed'))")
    expect(page.get_by_text("Credited", exact=True)).to_be_visible()
    assert Deposit.objects.get().status == "credited"
    assert wallet.balance(owner.organisation, "USDC").available == Decimal("12.5")


def test_browser_without_a_wallet(
    transactional_db: None, live_server: Any, page: Page, owner: Person, chain: Chain, settings: Any
) -> None:
    session = owner.client.cookies[settings.SESSION_COOKIE_NAME].value
    page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
    page.goto(f"{live_server.url}/billing/usdc/")
    expect(page.get_by_text("No wallet was found in this browser.")).to_be_visible()
    expect(page.get_by_role("button", name="Connect a wallet")).to_be_hidden()
    page.evaluate(Path("node_modules/axe-core/axe.min.js").read_text())
    found = page.evaluate(
        "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']}).then((result) => result.violations.map((one) => one.id))"
    )
    assert found == []
