"""What the worker does for each chain every few seconds."""

from __future__ import annotations

import logging

from django.conf import settings

from billing.chain import deposits, sending, withdrawals
from billing.chain.facts import ChainDown
from billing.chain.links import forget_nonces
from lib.turns import turn

log = logging.getLogger(__name__)


def follow_chains() -> None:
    """Read new blocks, credit what is final, send what is due. A chain that is away does not keep others waiting."""
    for chain in settings.CHAINS:
        try:
            follow(chain)
        except ChainDown as failure:
            log.warning("chain %s: %s", chain, failure.detail)
            deposits.note_failure(chain, failure.detail)
    forget_nonces()


def follow(chain: str) -> None:
    """Raises ChainDown."""
    with turn(f"chain.follow:{chain}") as ours:
        if not ours:
            return
        withdrawals.queue_due(chain)
        try:
            deposits.scan(chain)
        finally:  # what comes in does not keep what goes out waiting
            sending.send_due(chain)
