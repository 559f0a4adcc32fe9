"""The chain as a test moves it: JSON-RPC to the sandbox's peer, which anvil answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import requests
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils.address import to_checksum_address

from sandbox.chain.peer import MINTER, TOKEN
from sandbox.chain.token import call_data, creation_code

UNITS = 10**6


@dataclass
class Wallet:
    """Somebody's key."""

    account: Any = field(default_factory=Account.create)

    @property
    def address(self) -> str:
        return str(self.account.address)

    def sign(self, text: str) -> str:
        return str(self.account.sign_message(encode_defunct(text=text)).signature.to_0x_hex())


@dataclass(frozen=True)
class Chain:
    url: str
    folder: Path

    def call(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = requests.post(self.url, json=body, timeout=20).json()
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    @property
    def number(self) -> int:
        return int(self.call("eth_blockNumber"), 16)

    def mine(self, blocks: int = 1) -> None:
        self.call("anvil_mine", hex(blocks))

    def finalize(self) -> None:
        """The blocks until what is mined now is final: anvil's finality is two epochs, of one block each here."""
        self.mine(3)

    def fund(self, wallet: Wallet, amount: str = "1000", *, token: str = TOKEN) -> None:
        """USDC, and what transfers cost."""
        self.call("anvil_setBalance", wallet.address, hex(10**19))
        data = call_data("mint(address,uint256)", wallet.address, int(Decimal(amount) * UNITS))
        self.send({"from": MINTER, "to": token, "data": data})

    def send(self, transaction: dict[str, Any]) -> str:
        """Mined at once, unless mining is off."""
        tx_hash: str = self.call("eth_sendTransaction", transaction)
        return tx_hash

    def pay(self, wallet: Wallet, to: str, amount: str, *, token: str = TOKEN) -> str:
        """A transfer as the wallet signs it."""
        transaction = {
            "to": token,
            "data": call_data("transfer(address,uint256)", to, int(Decimal(amount) * UNITS)),
            "nonce": int(self.call("eth_getTransactionCount", wallet.address, "pending"), 16),
            "gas": 100_000,
            "maxFeePerGas": 100 * 10**9,
            "maxPriorityFeePerGas": 10**9,
            "chainId": 31337,
            "value": 0,
        }
        raw = wallet.account.sign_transaction(transaction).raw_transaction.to_0x_hex()
        tx_hash: str = self.call("eth_sendRawTransaction", raw)
        return tx_hash

    def new_token(self, *, decimals: int) -> str:
        """Another token than the one we take."""
        code = creation_code(self.folder, decimals=decimals)
        receipt = self.call("eth_getTransactionReceipt", self.send({"from": MINTER, "data": code}))
        return str(to_checksum_address(receipt["contractAddress"]))

    def usdc_of(self, address: str) -> Decimal:
        data = call_data("balanceOf(address)", address)
        return Decimal(int(self.call("eth_call", {"to": TOKEN, "data": data}, "latest"), 16)) / UNITS

    def pause_token(self, on: bool) -> None:
        """With a fee that puts it before what else waits for the next block."""
        fees = {"maxFeePerGas": hex(10**12), "maxPriorityFeePerGas": hex(10**11)}
        self.send({"from": MINTER, "to": TOKEN, "data": call_data("pause(bool)", on), **fees})

    def shorten(self, blocks: int) -> None:
        """The last blocks are gone, and nothing has taken their place."""
        self.call("anvil_rollback", blocks)

    def reorg(self, depth: int, *kept: str) -> None:
        """Other blocks in place of the last `depth`; the first of them has only the transactions `kept` of the old."""
        raw = [[self.call("eth_getRawTransactionByHash", tx_hash), 0] for tx_hash in kept]
        self.call("anvil_reorg", depth, raw)

    @contextmanager
    def mining_stopped(self) -> Iterator[None]:
        self.call("evm_setAutomine", False)
        try:
            yield
        finally:
            self.call("evm_setAutomine", True)
