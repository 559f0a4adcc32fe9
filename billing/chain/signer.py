"""Who signs: the only code that meets the treasury's private key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lib.secrets import read_or_make_secret


@dataclass(frozen=True, slots=True)
class Signed:
    raw: str
    tx_hash: str


class Signer(Protocol):
    """One address. May be a service elsewhere: never called inside a transaction."""

    address: str

    def sign(self, transaction: dict[str, Any]) -> Signed: ...


class KeyFileSigner:
    """The key in a file of the installation's secrets (mode 0600), made at the first use. It never leaves this object."""

    def __init__(self, file: str) -> None:
        from eth_account import Account  # takes half a second to load: paid by who signs

        self._account = Account.from_key(bytes.fromhex(read_or_make_secret(Path(file), kind="hex")))
        self.address: str = self._account.address

    def __repr__(self) -> str:
        return f"KeyFileSigner({self.address})"

    def sign(self, transaction: dict[str, Any]) -> Signed:
        signed = self._account.sign_transaction(transaction)
        return Signed(signed.raw_transaction.to_0x_hex(), signed.hash.to_0x_hex())
