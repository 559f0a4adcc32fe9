"""The outbox of withdrawals: one signer at a time, the nonce from our own rows, signed and stored before it is sent.

Whatever dies in between leaves a row from which the next turn goes on: a stored transaction is sent again as it is, and
a nonce is used for one withdrawal only, so that however often it is sent, it is paid once.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts import audit
from accounts.actor import Actor
from billing.chain import agreement, books, faucet, nodes
from billing.chain.alarms import raise_alarm
from billing.chain.facts import Fees, Head, Receipt, Reverted
from billing.lifecycle import WithdrawalStatus, switch_withdrawal
from billing.models import ChainAlarm, Withdrawal, WithdrawalAttempt
from lib.clock import now
from lib.errors import Conflict
from lib.turns import turn

if TYPE_CHECKING:
    from billing.chain.client import Node

log = logging.getLogger(__name__)
STUCK_AFTER = timedelta(minutes=3)
MOST_ATTEMPTS = 20  # each an eighth dearer than the last: ten times the first fee
ON_ITS_WAY = (WithdrawalStatus.SIGNED, WithdrawalStatus.SENT)


def send_due(chain: str) -> None:
    """One turn for a chain's withdrawals. Raises ChainDown; the next turn goes on."""
    address = nodes.signer().address
    with turn(f"chain.signer:{chain}:{address}") as ours:
        if not ours:
            return
        node = nodes.main_node(chain)
        head = node.head()
        for withdrawal in Withdrawal.objects.filter(chain=chain, status__in=ON_ITS_WAY).order_by("nonce"):
            _follow(node, withdrawal, head)
        for withdrawal in Withdrawal.objects.filter(chain=chain, status=WithdrawalStatus.QUEUED).order_by("pk"):
            if not _sign_first(node, withdrawal):
                break  # in the order in which they were asked for


def _sign_first(node: Node, withdrawal: Withdrawal) -> bool:
    """Give it a nonce, sign, store, commit; then send. False when nothing can be sent at present."""
    address = nodes.signer().address
    try:
        data, gas = node.transfer(sender=address, to=withdrawal.address, amount=withdrawal.amount)
    except Reverted as refusal:
        # It concerns this one, such as a recipient whom the token has barred: those behind it do not wait for it.
        _wait(withdrawal, str(refusal))
        raise_alarm(withdrawal.chain, ChainAlarm.Kind.STUCK, withdrawal, f"the token would refuse it: {refusal}")
        return True
    try:
        fees, nonce = agreement.fees(withdrawal.chain), agreement.next_nonce(withdrawal.chain, address)
    except agreement.NotNow as reason:
        _wait(withdrawal, str(reason))
        return False
    if node.wei_of(address) < gas * fees.max_fee_wei:
        _wait(withdrawal, "no_gas")
        faucet.fill(withdrawal.chain, address)
        return False
    attempt = _store(withdrawal, number=1, nonce=nonce, data=data, gas=gas, fees=fees)
    if attempt is not None:
        _broadcast(node, withdrawal, attempt)
    return True  # also when it was called off meanwhile


def _store(
    withdrawal: Withdrawal, *, number: int, nonce: int, data: str, gas: int, fees: Fees
) -> WithdrawalAttempt | None:
    """None when another worker was first: with this withdrawal, this attempt or this nonce."""
    signer, node = nodes.signer(), nodes.main_node(withdrawal.chain)
    signed = signer.sign(
        {
            "type": 2,
            "chainId": node.network.chain_id,
            "to": node.network.token,
            "value": 0,
            "data": data,
            "nonce": nonce,
            "gas": gas,
            "maxFeePerGas": fees.max_fee_wei,
            "maxPriorityFeePerGas": fees.priority_fee_wei,
        }
    )
    try:
        with transaction.atomic():
            first = number == 1
            if first and not switch_withdrawal(withdrawal, WithdrawalStatus.SIGNED, signer=signer.address, nonce=nonce):
                return None
            return WithdrawalAttempt.objects.create(
                withdrawal=withdrawal,
                number=number,
                tx_hash=signed.tx_hash,
                raw=signed.raw,
                gas=gas,
                max_fee_wei=fees.max_fee_wei,
                priority_fee_wei=fees.priority_fee_wei,
            )
    except IntegrityError:
        withdrawal.refresh_from_db()
        return None


def _broadcast(node: Node, withdrawal: Withdrawal, attempt: WithdrawalAttempt) -> None:
    node.send(attempt.raw)
    WithdrawalAttempt.objects.filter(pk=attempt.pk).update(sent_at=now())
    if withdrawal.status == WithdrawalStatus.SIGNED:
        switch_withdrawal(withdrawal, WithdrawalStatus.SENT)


def _follow(node: Node, withdrawal: Withdrawal, head: Head) -> None:
    attempts = list(withdrawal.attempts.order_by("-number"))
    for attempt in attempts:
        receipt = node.receipt(attempt.tx_hash)
        if receipt is not None:
            if receipt.block_number <= head.finalized and _agreed(attempt, receipt):
                _finish(withdrawal, attempt, receipt)
            return  # mined, and not final yet
    newest = attempts[0]
    if _nonce_is_gone(withdrawal):
        raise_alarm(withdrawal.chain, ChainAlarm.Kind.STUCK, withdrawal, "another transaction has used its nonce")
    elif newest.sent_at is None:
        _broadcast(node, withdrawal, newest)  # we died between storing and sending
    elif newest.sent_at < now() - STUCK_AFTER:
        _replace(node, withdrawal, newest)


def _agreed(attempt: WithdrawalAttempt, receipt: Receipt) -> bool:
    """Every node has this receipt in a block that is on its chain and final for it."""
    withdrawal = attempt.withdrawal
    return all(
        node.receipt(attempt.tx_hash) == receipt
        and node.head().finalized >= receipt.block_number
        and node.block_hash(receipt.block_number) == receipt.block_hash
        for node in nodes.nodes_of(withdrawal.chain)
    )


def _finish(withdrawal: Withdrawal, attempt: WithdrawalAttempt, receipt: Receipt) -> None:
    """The chain has decided, for good."""
    token_moved = any(
        (entry.sender, entry.recipient, entry.amount) == (withdrawal.signer, withdrawal.address, withdrawal.amount)
        for entry in receipt.transfers
    )
    with transaction.atomic():
        withdrawal = Withdrawal.objects.select_for_update(no_key=True, of=("self",)).get(pk=withdrawal.pk)
        if withdrawal.status not in ON_ITS_WAY:
            return
        paid = receipt.succeeded and token_moved
        books.settle_hold(withdrawal, paid=paid)
        outcome = WithdrawalStatus.DONE if paid else WithdrawalStatus.FAILED
        reason = "" if paid else "reverted"
        switch_withdrawal(withdrawal, outcome, reason=reason, tx_hash=attempt.tx_hash, finished_at=now())
        if not paid:
            raise_alarm(withdrawal.chain, ChainAlarm.Kind.REVERTED, withdrawal, attempt.tx_hash)


def _replace(node: Node, withdrawal: Withdrawal, stuck: WithdrawalAttempt) -> None:
    """The same nonce for a higher fee: of both only one can be mined."""
    if withdrawal.signer != nodes.signer().address:
        # The nonce is the old key's: what the new one signed with it could be paid beside it.
        raise_alarm(withdrawal.chain, ChainAlarm.Kind.STUCK, withdrawal, "signed by a key that is no longer ours")
        _broadcast(node, withdrawal, stuck)
        return
    if stuck.number >= MOST_ATTEMPTS:
        raise_alarm(withdrawal.chain, ChainAlarm.Kind.STUCK, withdrawal, f"{stuck.number} attempts")
        _broadcast(node, withdrawal, stuck)
        return
    assert withdrawal.nonce is not None
    try:
        fees = Fees(stuck.max_fee_wei, stuck.priority_fee_wei).raised().at_least(agreement.fees(withdrawal.chain))
        data, _gas = node.transfer(sender=withdrawal.signer, to=withdrawal.address, amount=withdrawal.amount)
    except agreement.NotNow as reason:
        log.warning("withdrawal %s is stuck, and cannot be replaced: %s", withdrawal.public_id, reason)
        return
    except Reverted as refusal:
        # It would fail now, which costs gas and settles nothing sooner: it stays as it was sent.
        log.warning("withdrawal %s is stuck, and would fail now: %s", withdrawal.public_id, refusal)
        return
    attempt = _store(withdrawal, number=stuck.number + 1, nonce=withdrawal.nonce, data=data, gas=stuck.gas, fees=fees)
    if attempt is not None:
        _broadcast(node, withdrawal, attempt)


def give_up(withdrawal: Withdrawal, *, actor: Actor) -> Withdrawal:
    """Staff end a withdrawal that can never be paid, and give the sum back. Raises Conflict while it still may be."""
    if withdrawal.status not in ON_ITS_WAY or not _nonce_is_gone(withdrawal):
        raise Conflict(_("It may still be paid: only the chain decides."), code="not_lost")
    with transaction.atomic():
        withdrawal = Withdrawal.objects.select_for_update(no_key=True, of=("self",)).get(pk=withdrawal.pk)
        if switch_withdrawal(withdrawal, WithdrawalStatus.FAILED, reason="nonce_used", finished_at=now()):
            books.settle_hold(withdrawal, paid=False)
            audit.record(withdrawal.organisation_id, actor, "withdrawal.give_up", withdrawal)
    return withdrawal


def _nonce_is_gone(withdrawal: Withdrawal) -> bool:
    """Every node has a final transaction with this nonce, and none has one of ours: somebody else used the key."""
    assert withdrawal.nonce is not None
    hashes = list(withdrawal.attempts.values_list("tx_hash", flat=True))
    return all(
        node.nonce_of(withdrawal.signer, at="finalized") > withdrawal.nonce
        and all(node.receipt(tx_hash) is None for tx_hash in hashes)
        for node in nodes.nodes_of(withdrawal.chain)
    )


def _wait(withdrawal: Withdrawal, reason: str) -> None:
    """Kept for staff and the page: why it is not sent yet."""
    Withdrawal.objects.filter(pk=withdrawal.pk).update(reason=reason[:48], checked_at=now())
    log.warning("withdrawal %s waits: %s", withdrawal.public_id, reason)
