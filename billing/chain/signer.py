"""Who signs: the only code that meets the treasury's private key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from django.utils.translation import gettext as _

from billing.chain.facts import ChainDown
from lib.errors import AppError
from lib.secrets import read_or_make_secret


@dataclass(frozen=True, slots=True)
class Signed:
    raw: str
    tx_hash: str


class Signer(Protocol):
    """One address. May be a service elsewhere: never called inside a transaction."""

    address: str

    def sign(self, transaction: dict[str, Any]) -> Signed: ...


class NoKey(ChainDown):
    """The installation's file of the treasury's key is missing: it was not made yet, or was lost."""

    code = "chain_key_missing"

    def __init__(self) -> None:
        AppError.__init__(self, _("USDC is not set up on this installation."))
        self.detail = "the file of the treasury's key is missing"


class KeyFileSigner:
    """The key in a file of the installation's secrets (mode 0600). It never leaves this object.

    `may_make`: where money is play money, it is made at the first use. Raises NoKey.
    """

    def __init__(self, file: str, *, may_make: bool) -> None:
        from eth_account import Account  # takes half a second to load: paid by who signs

        if not may_make and not Path(file).exists():
            # A new one would be another treasury: deposits would go where nobody looks for them.
            raise NoKey
        self._account = Account.from_key(bytes.fromhex(read_or_make_secret(Path(file), kind="hex")))
        self.address: str = self._account.address

    def __repr__(self) -> str:
        return f"KeyFileSigner({self.address})"

    def sign(self, transaction: dict[str, Any]) -> Signed:
        signed = self._account.sign_transaction(transaction)
        return Signed(signed.raw_transaction.to_0x_hex(), signed.hash.to_0x_hex())
