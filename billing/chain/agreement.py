"""What the next transaction of ours is to be, by what every node says: one that lies can make us wait, never pay more.

Raises ChainDown like the nodes themselves.
"""

from __future__ import annotations

from django.db.models import Max

from billing.chain import nodes
from billing.chain.facts import Fees
from billing.chain.networks import network_of
from billing.models import Withdrawal


class NotNow(Exception):
    """Nothing can be signed at present. The text is the reason that staff see."""


def next_nonce(chain: str, address: str) -> int:
    """After our last one. Raises NotNow.

    The chain's own count says more only when somebody else used the key, or rows were lost: then all nodes must say it.
    """
    last = Withdrawal.objects.filter(chain=chain, signer=address).aggregate(last=Max("nonce"))["last"]
    ours = 0 if last is None else last + 1
    counts = {node.nonce_of(address) for node in nodes.nodes_of(chain)}
    if max(counts) <= ours:
        return ours
    if len(counts) > 1:
        raise NotNow("nodes_disagree")
    return counts.pop()


def fees(chain: str) -> Fees:
    """The lowest that a node names: too low a fee is raised after a while. Raises NotNow above the network's highest."""
    lowest = min((node.fees() for node in nodes.nodes_of(chain)), key=lambda fees: fees.max_fee_wei)
    if lowest.max_fee_wei > network_of(chain).highest_fee_wei:
        raise NotNow("fees_too_high")
    return lowest
