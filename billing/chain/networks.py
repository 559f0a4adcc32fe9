"""The chains on which we take USDC: facts that do not depend on an installation. Which are used is in settings.CHAINS.

Addresses of the token: https://developers.circle.com/stablecoins/usdc-contract-addresses. Bridged USDC (“USDC.e” on
Polygon) is another token and is not taken.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.utils.translation import gettext as _

from lib.errors import AppError, Invalid

GWEI = 10**9


@dataclass(frozen=True, slots=True)
class Network:
    """`confirmations`: blocks after which a deposit counts as confirmed; it is credited when its block is final.

    `highest_fee_wei`, per unit of gas: whatever the nodes say, a withdrawal waits rather than cost more.
    """

    slug: str
    name: str
    chain_id: int
    token: str
    confirmations: int
    explorer: str = ""  # of transactions, without the hash
    coin: str = "ETH"  # pays for transactions
    faucet: bool = False
    highest_fee_wei: int = 500 * GWEI

    def transaction_url(self, tx_hash: str) -> str:
        return f"{self.explorer}{tx_hash}" if self.explorer else ""


NETWORKS = {
    network.slug: network
    for network in (
        Network(
            "ethereum",
            "Ethereum",
            1,
            "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48",
            6,
            "https://etherscan.io/tx/",
        ),
        Network(
            "polygon",
            "Polygon",
            137,
            "0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359",
            20,
            "https://polygonscan.com/tx/",
            "POL",
            highest_fee_wei=5000 * GWEI,
        ),
        Network(
            "sepolia",
            "Ethereum Sepolia",
            11155111,
            "0x1c7D4B196Cb0C7B01d743Fbc6116a902379C7238",
            3,
            "https://sepolia.etherscan.io/tx/",
        ),
        Network(
            "amoy",
            "Polygon Amoy",
            80002,
            "0x41E94Eb019C0762f9Bfcf9Fb1E58725BfB0e7582",
            5,
            "https://amoy.polygonscan.com/tx/",
            "POL",
            highest_fee_wei=5000 * GWEI,
        ),
        # The first contract of anvil's first account: sandbox/chain creates it.
        Network("sandbox", "Sandbox chain", 31337, "0x5FbDB2315678afecb367f032d93F642f64180aa3", 2, faucet=True),
    )
}


class NoChain(AppError):
    """This installation has no node of any chain, and does not pretend to."""

    status = 503
    code = "chain_not_configured"


def configured() -> list[Network]:
    """The chains of this installation, in the order of settings."""
    return [NETWORKS[slug] for slug in settings.CHAINS]


def network_of(slug: str) -> Network:
    """Raises NoChain when there is none at all, Invalid for one that is not used here."""
    if not settings.CHAINS:
        raise NoChain(_("USDC is not set up on this installation."))
    if slug not in settings.CHAINS:
        raise Invalid(
            _("This chain is not used here."), code="unknown_chain", fields={"chain": [_("Choose one of the list.")]}
        )
    return NETWORKS[slug]
