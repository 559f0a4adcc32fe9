"""The nodes and the signer of this installation, connected when they are first needed."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings

from billing.chain.links import parse_address
from billing.chain.networks import network_of
from billing.chain.signer import KeyFileSigner, Signer

if TYPE_CHECKING:
    from billing.chain.client import Node


def main_node(chain: str) -> Node:
    """The one that is read from; the others confirm what it says. Raises ChainDown, NoChain, Invalid."""
    network_of(chain)
    return _connect(chain, settings.CHAINS[chain][0])


def nodes_of(chain: str) -> list[Node]:
    """All of them: each must agree before money is credited."""
    return [_connect(chain, url) for url in settings.CHAINS[chain]]


@cache
def _connect(chain: str, url: str) -> Node:
    """Connected once; a node that is away or of another chain is asked again the next time."""
    from billing.chain.client import Node

    return Node(network_of(chain), url)


def signer() -> Signer:
    """Who signs withdrawals. A production installation puts a key service behind the same protocol. Raises NoKey."""
    return _signer(str(settings.CHAIN_KEY_FILE))


@cache
def _signer(key_file: str) -> Signer:
    return KeyFileSigner(key_file, may_make=settings.SANDBOX)


def treasury() -> str:
    """Where deposits go, in the spelling in which addresses are compared."""
    return parse_address(settings.CHAIN_TREASURY) if settings.CHAIN_TREASURY else signer().address
