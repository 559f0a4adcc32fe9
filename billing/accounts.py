"""Accounts of the ledger: which there are, and how one is found or made."""

from __future__ import annotations

from uuid import UUID

from accounts.models import Organisation
from billing.models import Account

Kind = Account.Kind
# Transfers with the platform's own accounts would queue at one row each: they are spread over so many.
SHARDS = 16
# What belongs to a customer can be spent only as far as it is there. Ours stand for the world outside.
NO_OVERDRAFT = {Kind.WALLET, Kind.CREDITS, Kind.EARNINGS}
WALLET_KIND = {"USD": Kind.WALLET, "USDC": Kind.WALLET, "CREDIT": Kind.CREDITS}


def account_of(
    organisation: Organisation | None, kind: str, currency: str, *, label: str = "", shard: int = 0
) -> Account:
    """The account, made when it is needed for the first time."""
    account, _made = Account.objects.get_or_create(
        organisation=organisation,
        kind=kind,
        currency=currency,
        label=label,
        shard=shard,
        defaults={"no_overdraft": kind in NO_OVERDRAFT},
    )
    return account


def wallet_of(organisation: Organisation, currency: str) -> Account:
    """What the organisation pays from: its wallet, or its compute credits."""
    return account_of(organisation, WALLET_KIND[currency], currency)


def platform_account(kind: str, currency: str, transfer_id: UUID, *, label: str = "") -> Account:
    """One of our own accounts, its shard chosen by the transfer that will touch it."""
    return account_of(None, kind, currency, label=label, shard=transfer_id.int % SHARDS)
