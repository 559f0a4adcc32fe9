"""One node of one chain, by web3.py: what we ask it, checked before it is believed.

The calls go through `lib.http`, so each has a time limit and none happens inside a transaction. Importing web3 takes a
second: `billing.chain.nodes` does it when a node is first needed, and nothing else imports this module.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Literal

from eth_typing import ChecksumAddress, HexStr
from web3 import Web3
from web3.exceptions import BlockNotFound, ContractLogicError, TransactionNotFound, Web3Exception, Web3RPCError
from web3.middleware import AttributeDictMiddleware, ExtraDataToPOAMiddleware
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse, TxReceipt

from billing.chain.facts import ChainDown, Fees, Head, Log, Receipt, Reverted
from billing.chain.networks import Network
from lib import http
from lib.money import LARGEST

log = logging.getLogger(__name__)
SERVICE = "chain"
TIMEOUT_S = 10.0
MAX_BYTES = 4 * 1024 * 1024
DECIMALS = 6
UNIT = Decimal(1).scaleb(-DECIMALS)
BLOCKS_PER_CALL = 1000  # what public nodes allow for eth_getLogs
# How nodes say that eth_getLogs found too much; no code of an error is agreed on.
TOO_MUCH = re.compile(
    r"more than \d+ results|too many (results|logs)|response size|(response|range) (is )?too large", re.I
)
SPARE_GAS = 4  # a quarter more than estimated
ABI: list[dict[str, Any]] = [
    {
        "type": "event",
        "name": "Transfer",
        "anonymous": False,
        "inputs": [
            {"name": "from", "type": "address", "indexed": True},
            {"name": "to", "type": "address", "indexed": True},
            {"name": "value", "type": "uint256", "indexed": False},
        ],
    },
    {
        "type": "function",
        "name": "transfer",
        "stateMutability": "nonpayable",
        "inputs": [{"name": "to", "type": "address"}, {"name": "value", "type": "uint256"}],
        "outputs": [{"name": "", "type": "bool"}],
    },
    {
        "type": "function",
        "name": "balanceOf",
        "stateMutability": "view",
        "inputs": [{"name": "owner", "type": "address"}],
        "outputs": [{"name": "", "type": "uint256"}],
    },
    {
        "type": "function",
        "name": "decimals",
        "stateMutability": "view",
        "inputs": [],
        "outputs": [{"name": "", "type": "uint8"}],
    },
]


class WrongChain(ChainDown):
    """The node is of another chain, or the token is not the one we know. Nothing is done with either."""

    code = "wrong_chain"


class TooMuch(ChainDown):
    """The answer is larger than the node gives, or than we take: ask for less."""


class Provider(JSONBaseProvider):
    """JSON-RPC over `lib.http`."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        body = self.encode_rpc_request(method, params)
        headers = {"Content-Type": "application/json"}
        answer = http.call(
            SERVICE, "POST", self._url, headers=headers, raw=body, timeout_s=TIMEOUT_S, max_bytes=MAX_BYTES
        )
        if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise TooMuch(f"{method}: the node answered {answer.status}")
        if not answer.ok:
            raise ChainDown(f"{method}: the node answered {answer.status}")
        return self.decode_rpc_response(answer.body)


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Whatever goes wrong with a node is ChainDown. Its own words are kept for staff, its address is not."""
    try:
        yield
    except (ChainDown, Reverted):
        raise
    except ContractLogicError as error:
        raise Reverted(str(error.message or error)[:200]) from error
    except (http.HttpFailed, Web3RPCError) as error:
        raise (TooMuch if _is_too_much(error) else ChainDown)(_detail(what, error)) from error
    except (Web3Exception, ValueError, TypeError, LookupError, AttributeError) as error:
        raise ChainDown(_detail(what, error)) from error


def _detail(what: str, error: Exception) -> str:
    return f"{what}: {type(error).__name__} {error}"[:300]


def _is_too_much(error: http.HttpFailed | Web3RPCError) -> bool:
    if isinstance(error, http.HttpFailed):
        return error.reason == "too_large"
    return TOO_MUCH.search(error.message) is not None


class Node:
    """Raises ChainDown when there is no sensible answer."""

    def __init__(self, network: Network, url: str) -> None:
        """Asks the node which chain it is of, and the token for its decimals. Raises WrongChain."""
        self.network = network
        self._web3 = Web3(Provider(url), middleware=[AttributeDictMiddleware, ExtraDataToPOAMiddleware])
        self._token = self._web3.eth.contract(address=Web3.to_checksum_address(network.token), abi=ABI)
        with asking("start"):
            chain_id, decimals = self._web3.eth.chain_id, self._token.functions.decimals().call()
        if chain_id != network.chain_id:
            raise WrongChain(f"{network.slug}: the node is of chain {chain_id}, not {network.chain_id}")
        if decimals != DECIMALS:
            raise WrongChain(f"{network.slug}: the token has {decimals} decimals, not {DECIMALS}")

    def head(self) -> Head:
        with asking("head"):
            final = int(self._web3.eth.get_block("finalized")["number"])
            latest = int(self._web3.eth.block_number)
        if final > latest:
            raise ChainDown(f"head: block {final} is final but {latest} is the latest")
        return Head(latest, final)

    def block_hash(self, number: int) -> str | None:
        """None when the node has no such block (yet)."""
        with asking("block"):
            try:
                block = self._web3.eth.get_block(number)
            except BlockNotFound:
                return None
            if block["number"] != number:
                raise ChainDown(f"block: asked for {number}, got {block['number']}")
            return Web3.to_hex(block["hash"])

    def transfers_to(self, treasury: str, first: int, last: int) -> Iterator[Log]:
        """Token transfers to the treasury in blocks `first` to `last`, asked for in pieces.

        Anybody can send thousands of empty ones: where they are too many for one answer, the pieces become smaller.
        """
        start, blocks = first, BLOCKS_PER_CALL
        while start <= last:
            end = min(last, start + blocks - 1)
            try:
                logs = self._transfers_in_blocks(treasury, start, end)
            except TooMuch:
                if start == end:
                    raise
                blocks = (end - start + 1) // 2
                continue
            yield from logs
            start, blocks = end + 1, min(2 * blocks, BLOCKS_PER_CALL)

    def receipt(self, tx_hash: str) -> Receipt | None:
        """None while no block that the node knows holds the transaction."""
        with asking("receipt"):
            try:
                receipt = self._web3.eth.get_transaction_receipt(HexStr(tx_hash))
            except TransactionNotFound:
                return None
            if Web3.to_hex(receipt["transactionHash"]) != tx_hash:
                raise ChainDown("receipt: of another transaction")
            return Receipt(
                block_number=int(receipt["blockNumber"]),
                block_hash=Web3.to_hex(receipt["blockHash"]),
                succeeded=receipt["status"] == 1,
                transfers=tuple(self._transfers_in(receipt)),
            )

    def usdc_of(self, address: str) -> Decimal:
        with asking("balance"):
            units: int = self._token.functions.balanceOf(_checked(address)).call()
        return units * UNIT

    def wei_of(self, address: str) -> int:
        """What the address has to pay for transactions, in the chain's own coin × 10¹⁸."""
        with asking("gas balance"):
            return int(self._web3.eth.get_balance(_checked(address)))

    def nonce_of(self, address: str, *, at: Literal["latest", "finalized"] = "latest") -> int:
        """How many transactions of the address are in blocks: the lowest nonce that is free."""
        with asking("nonce"):
            return int(self._web3.eth.get_transaction_count(_checked(address), at))

    def fees(self) -> Fees:
        """EIP-1559: twice the present base fee leaves room for six full blocks."""
        with asking("fees"):
            base = int(self._web3.eth.get_block("latest")["baseFeePerGas"])
            priority = int(self._web3.eth.max_priority_fee)
        return Fees(max_fee_wei=2 * base + priority, priority_fee_wei=priority)

    def transfer(self, *, sender: str, to: str, amount: Decimal) -> tuple[str, int]:
        """The call data of a transfer, and the gas that it takes. Raises Reverted when the token would refuse it now."""
        call = self._token.functions.transfer(_checked(to), int(amount / UNIT))
        with asking("gas"):
            gas = call.estimate_gas({"from": _checked(sender)})
            return call._encode_transaction_data(), gas + gas // SPARE_GAS

    def send(self, raw: str) -> None:
        """Broadcast. A node that knows the transaction, or a later one, is no failure: the receipt decides."""
        with asking("send"):
            try:
                self._web3.eth.send_raw_transaction(HexStr(raw))
            except Web3RPCError as error:
                log.info("chain %s: the node says %s", self.network.slug, error.message)

    def _transfers_in_blocks(self, treasury: str, first: int, last: int) -> list[Log]:
        with asking("logs"):
            found = self._token.events.Transfer().get_logs(
                from_block=first, to_block=last, argument_filters={"to": _checked(treasury)}
            )
            logs = [self._read(entry) for entry in found]
        return [
            entry
            for entry in logs
            if entry is not None and entry.recipient == treasury and first <= entry.block_number <= last
        ]

    def _transfers_in(self, receipt: TxReceipt) -> Iterator[Log]:
        for entry in receipt["logs"]:
            if entry["address"] == self._token.address and len(entry["topics"]) == 3:
                found = self._read(self._token.events.Transfer().process_log(entry))
                if found is not None:
                    yield found

    def _read(self, entry: Any) -> Log | None:
        """A transfer of something, in our spelling. Empty ones are sent to many to be mistaken for others."""
        amount = entry["args"]["value"] * UNIT
        if entry["address"] != self._token.address or not 0 < amount <= LARGEST or entry.get("removed"):
            return None
        return Log(
            tx_hash=Web3.to_hex(entry["transactionHash"]),
            log_index=entry["logIndex"],
            block_number=entry["blockNumber"],
            block_hash=Web3.to_hex(entry["blockHash"]),
            sender=entry["args"]["from"],
            recipient=entry["args"]["to"],
            amount=amount,
        )


def _checked(address: str) -> ChecksumAddress:
    return Web3.to_checksum_address(address)
