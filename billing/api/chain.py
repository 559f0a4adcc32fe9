"""Routes of USDC: the chains that are used here, linked wallets, deposits, withdrawals."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from ninja import Router, Schema, Status
from pydantic import Field

from accounts.idempotency import idempotent, key_of
from accounts.requests import Request
from accounts.roles import Permission
from billing import access
from billing.chain import deposits, faucet, links, nodes, withdrawals
from billing.chain.networks import NETWORKS, Network, configured, network_of
from billing.models import Deposit, LinkedWallet, Withdrawal
from billing.payouts import unlinking
from lib.lists import page_of
from lib.money import money_json
from lib.rate import limit as limit_rate
from lib.schemas import Money

router = Router(tags=["wallets"])


class ChainOut(Schema):
    chain: str = Field(examples=["polygon"])
    name: str
    chain_id: int
    token: str = Field(description="The contract of USDC. Other tokens, also bridged USDC.e, are not taken.")
    deposit_address: str
    confirmations: int


class ChainPage(Schema):
    items: list[ChainOut]
    next: str | None = None


class MessageIn(Schema):
    chain: str = Field(max_length=16)
    address: str = Field(max_length=64)


class MessageOut(Schema):
    message: str = Field(description="EIP-4361, to be signed as it is (`personal_sign`).")
    nonce: str
    expires_at: datetime


class LinkIn(Schema):
    message: str = Field(max_length=2000)
    signature: str = Field(max_length=400)


class WalletOut(Schema):
    id: str
    address: str
    linked_at: datetime


class WalletPage(Schema):
    items: list[WalletOut]
    next: str | None = None


class DepositOut(Schema):
    id: str
    chain: str
    amount: Money
    sender: str
    tx_hash: str
    status: str
    confirmations: int
    seen_at: datetime
    credited_at: datetime | None


class DepositPage(Schema):
    items: list[DepositOut]
    next: str | None


class WithdrawIn(Schema):
    chain: str = Field(max_length=16)
    address: str = Field(max_length=64)
    amount: Decimal


class WithdrawalOut(Schema):
    id: str
    chain: str
    address: str
    amount: Money
    status: str
    reason: str
    not_before: datetime
    needs_approval: bool
    tx_hash: str
    created_at: datetime
    finished_at: datetime | None


class WithdrawalPage(Schema):
    items: list[WithdrawalOut]
    next: str | None


class FaucetIn(Schema):
    chain: str = Field(max_length=16)
    address: str = Field(max_length=64)


class FaucetOut(Schema):
    sent: bool


def show_chain(network: Network) -> dict[str, Any]:
    return {
        "chain": network.slug,
        "name": network.name,
        "chain_id": network.chain_id,
        "token": network.token,
        "deposit_address": nodes.treasury(),
        "confirmations": network.confirmations,
    }


def show_wallet(wallet: LinkedWallet) -> dict[str, Any]:
    return {"id": wallet.public_id, "address": wallet.address, "linked_at": wallet.linked_at}


def show_deposit(deposit: Deposit) -> dict[str, Any]:
    return {
        "id": deposit.public_id,
        "chain": deposit.chain,
        "amount": money_json(deposit.amount, "USDC"),
        "sender": deposit.sender,
        "tx_hash": deposit.tx_hash,
        "status": deposit.status,
        "confirmations": min(deposit.confirmations, NETWORKS[deposit.chain].confirmations),
        "seen_at": deposit.seen_at,
        "credited_at": deposit.credited_at,
    }


def show_withdrawal(withdrawal: Withdrawal) -> dict[str, Any]:
    """JSON-ready, as it is kept with its idempotency key."""
    return {
        "id": withdrawal.public_id,
        "chain": withdrawal.chain,
        "address": withdrawal.address,
        "amount": money_json(withdrawal.amount, "USDC"),
        "status": withdrawal.status,
        "reason": withdrawal.reason,
        "not_before": withdrawal.not_before.isoformat(),
        "needs_approval": withdrawal.needs_approval,
        "tx_hash": withdrawal.tx_hash,
        "created_at": withdrawal.created_at.isoformat(),
        "finished_at": withdrawal.finished_at.isoformat() if withdrawal.finished_at else None,
    }


@router.get("wallets/chains", response=ChainPage)
def list_chains(request: Request) -> dict[str, Any]:
    """The chains on which USDC is taken here; none when it is not set up."""
    access.organisation_to_see(request.actor)
    return {"items": [show_chain(network) for network in configured()]}


@router.post("wallets/nonce", response=MessageOut)
def new_message(request: Request, body: MessageIn) -> dict[str, Any]:
    """What a wallet signs to be linked to the organisation: good once, for five minutes, for who asked."""
    organisation = access.organisation_to_pay_for(request.actor)
    limit_rate(f"organisation:{organisation.pk}", "billing.link", per_minute=20)
    nonce, message = links.new_message(
        organisation=organisation, address=body.address, network=network_of(body.chain), actor=request.actor
    )
    return {"message": message, "nonce": nonce.nonce, "expires_at": nonce.expires_at}


@router.post("wallets/link", response={201: WalletOut})
def link_wallet(request: Request, body: LinkIn) -> Status[dict[str, Any]]:
    """Link the wallet that signed the message. What it sends to the deposit address is then the organisation's."""
    organisation = access.organisation_to_pay_for(request.actor)
    limit_rate(f"organisation:{organisation.pk}", "billing.link", per_minute=20)
    wallet = links.link(organisation=organisation, message=body.message, signature=body.signature, actor=request.actor)
    return Status(201, show_wallet(wallet))


@router.get("wallets/links", response=WalletPage)
def list_wallets(request: Request) -> dict[str, Any]:
    organisation = access.organisation_to_see(request.actor)
    return {"items": [show_wallet(wallet) for wallet in links.wallets_of(organisation)]}


@router.delete("wallets/links/{wallet_id}", response={204: None})
def unlink_wallet(request: Request, wallet_id: str) -> Status[None]:
    """Deposits that it sends from now on wait until staff know whose they are, and nothing more is paid out to it: a
    payout method that leads there is removed, for which a person has to ask."""
    unlinking.unlink(access.get_linked_wallet(request.actor, wallet_id), actor=request.actor)
    return Status(204, None)


@router.get("wallets/deposits", response=DepositPage)
def list_deposits(request: Request, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """USDC that came from linked wallets, newest first: `seen`, `confirmed`, then `credited` when its block is final."""
    organisation = access.organisation_to_see(request.actor)
    return page_of(deposits.deposits_of(organisation), limit=limit, cursor=cursor, show=show_deposit)


@router.post("wallets/withdraw", response={201: WithdrawalOut})
@idempotent
def withdraw(request: Request, body: WithdrawIn) -> tuple[int, dict[str, Any]]:
    """Send USDC to an address. A new address waits a day, a large sum for our staff; the sum is held meanwhile."""
    organisation = access.organisation_to_pay_for(request.actor)
    limit_rate(f"organisation:{organisation.pk}", "billing.pay", per_minute=20)
    made = withdrawals.request_withdrawal(
        organisation=organisation,
        network=network_of(body.chain),
        address=body.address,
        amount=body.amount,
        actor=request.actor,
        key=key_of(request),
    )
    return 201, show_withdrawal(made)


@router.get("wallets/withdrawals", response=WithdrawalPage)
def list_withdrawals(request: Request, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    organisation = access.organisation_to_see(request.actor)
    return page_of(withdrawals.withdrawals_of(organisation), limit=limit, cursor=cursor, show=show_withdrawal)


@router.get("wallets/withdrawals/{withdrawal_id}", response=WithdrawalOut)
def read_withdrawal(request: Request, withdrawal_id: str) -> dict[str, Any]:
    return show_withdrawal(access.get_withdrawal(request.actor, withdrawal_id))


@router.post("wallets/withdrawals/{withdrawal_id}/cancel", response=WithdrawalOut)
def cancel_withdrawal(request: Request, withdrawal_id: str) -> dict[str, Any]:
    """Give the sum back; 409 once a transaction is signed."""
    withdrawal = access.get_withdrawal(request.actor, withdrawal_id, Permission.MANAGE_BILLING)
    return show_withdrawal(withdrawals.cancel(withdrawal, actor=request.actor))


@router.post("wallets/faucet", response=FaucetOut)
def ask_faucet(request: Request, body: FaucetIn) -> dict[str, Any]:
    """SANDBOX: 1,000 test USDC and the coin for transfers, to any address of the sandbox's own chain."""
    organisation = access.organisation_to_pay_for(request.actor)
    limit_rate(f"organisation:{organisation.pk}", "billing.faucet", per_minute=6)
    faucet.give(body.chain, body.address)
    return {"sent": True}
