"""What a node says, as values. Free of web3, so that pages and models can be read without loading it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.utils.translation import gettext as _

from lib.errors import AppError


class ChainDown(AppError):
    """No answer, or one that makes no sense. `detail` is for staff."""

    status = 503
    code = "chain_unavailable"

    def __init__(self, detail: str) -> None:
        super().__init__(_("The chain does not answer as it should. Try again in a moment."))
        self.detail = detail


class Reverted(Exception):
    """The token would refuse this call at present; the text is its reason."""


@dataclass(frozen=True, slots=True)
class Head:
    number: int
    finalized: int


@dataclass(frozen=True, slots=True)
class Log:
    """A token transfer in a block. `amount` is in USDC."""

    tx_hash: str
    log_index: int
    block_number: int
    block_hash: str
    sender: str
    recipient: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Receipt:
    """`succeeded`: the transaction had an effect; a failed one only cost gas."""

    block_number: int
    block_hash: str
    succeeded: bool
    transfers: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class Fees:
    """Per unit of gas (EIP-1559)."""

    max_fee_wei: int
    priority_fee_wei: int

    def raised(self) -> Fees:
        """Both an eighth higher, rounded up: a node takes a replacement of the same nonce from 10 % on."""
        return Fees(*(fee + -(-fee // 8) for fee in (self.max_fee_wei, self.priority_fee_wei)))

    def at_least(self, other: Fees) -> Fees:
        return Fees(max(self.max_fee_wei, other.max_fee_wei), max(self.priority_fee_wei, other.priority_fee_wei))
