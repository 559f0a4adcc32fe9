"""Test money of the sandbox's own chain. Other chains have none of ours."""

from __future__ import annotations

from django.conf import settings
from django.utils.translation import gettext as _

from billing.chain.facts import ChainDown
from billing.chain.links import parse_address
from billing.chain.networks import configured, network_of
from lib import http
from lib.errors import NotFound

SERVICE = "faucet"
TIMEOUT_S = 10.0


def available() -> bool:
    return settings.SANDBOX and any(network.faucet for network in configured())


def give(chain: str, address: str) -> None:
    """1,000 USDC and the coin that transfers cost. Raises NotFound where there is no faucet, Invalid, ChainDown."""
    if not (settings.SANDBOX and network_of(chain).faucet):
        raise NotFound(_("This chain has no faucet of ours."))
    url = settings.CHAINS[chain][0].rstrip("/") + "/faucet"
    try:
        answer = http.call(SERVICE, "POST", url, json_body={"address": parse_address(address)}, timeout_s=TIMEOUT_S)
    except http.HttpFailed as failure:
        raise ChainDown(f"faucet: {failure.reason}") from failure
    if not answer.ok:
        raise ChainDown(f"faucet: {answer.status}")


def fill(chain: str, address: str) -> None:
    """Our own signer pays its transactions from the faucet too, where there is one."""
    if settings.SANDBOX and network_of(chain).faucet:
        give(chain, address)
