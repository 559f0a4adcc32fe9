"""Deposits: seen in a block, confirmed, and credited once their block is final and every node agrees.

A scan reads the last blocks again each time, so that a node which was behind, or a chain which was rewritten, cannot
hide a transfer; and it compares the block of each deposit with the one that the chain has now at its height.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts import audit
from accounts.actor import Actor
from accounts.models import Organisation
from billing.chain import nodes
from billing.chain.alarms import raise_alarm
from billing.chain.books import credit, take_back
from billing.chain.facts import ChainDown, Head, Log, Receipt
from billing.chain.networks import network_of
from billing.lifecycle import DepositStatus, switch_deposit, tell_deposit
from billing.models import ChainAlarm, ChainCursor, Deposit, LinkedWallet
from lib.clock import now
from lib.errors import Conflict

if TYPE_CHECKING:
    from billing.chain.client import Node

log = logging.getLogger(__name__)
RESCAN = 64  # blocks that are read again each time
WATCH = 256  # blocks after which a credited deposit is no longer looked at
MOST_BLOCKS = 10_000  # in one scan, after a pause
OPEN = (DepositStatus.SEEN, DepositStatus.CONFIRMED)


def deposits_of(organisation: Organisation) -> QuerySet[Deposit]:
    """The newest first."""
    return Deposit.objects.filter(organisation=organisation).order_by("-pk")


def scan(chain: str) -> None:
    """Bring the deposits of a chain up to what it says now. Raises ChainDown; the next scan goes on."""
    node, treasury = nodes.main_node(chain), nodes.treasury()
    head = node.head()
    cursor, _made = ChainCursor.objects.get_or_create(chain=chain, defaults={"block_number": head.finalized})
    if head.finalized < cursor.finalized_number and not node.network.faucet:
        # Finality never goes back: this node is behind. Only the sandbox's own chain may lose its last seconds.
        raise ChainDown(f"{chain}: block {head.finalized} is final for the node, {cursor.finalized_number} was before")
    last = min(head.number, cursor.block_number + MOST_BLOCKS)
    for entry in node.transfers_to(treasury, max(0, min(cursor.block_number, last) + 1 - RESCAN), last):
        _remember(chain, entry)
    block_hash = cache(node.block_hash)  # many deposits may share a block
    for deposit in _to_look_at(chain, head):
        there = block_hash(deposit.block_number)
        if there == deposit.block_hash:
            _advance(deposit, head)
        elif there is not None:  # a node that is behind has no block there, which says nothing
            _vanish(deposit)
    ChainCursor.objects.filter(chain=chain).update(
        block_number=last, finalized_number=head.finalized, checked_at=now(), last_error=""
    )


def note_failure(chain: str, detail: str) -> None:
    """For the page of staff: what keeps the chain from being read."""
    ChainCursor.objects.filter(chain=chain).update(last_error=detail[:300])


@transaction.atomic
def claim(deposit: Deposit, organisation: Organisation, *, actor: Actor) -> Deposit:
    """Staff give a final deposit of an unknown sender to an organisation. Raises Conflict when it is not in the queue."""
    deposit = Deposit.objects.select_for_update(no_key=True).get(pk=deposit.pk)
    if deposit.status != DepositStatus.UNMATCHED:
        raise Conflict(_("Only a deposit in the unmatched queue can be claimed."), code="not_unmatched")
    Deposit.objects.filter(pk=deposit.pk).update(organisation=organisation)
    deposit.refresh_from_db()
    credit(deposit, reason="claimed")
    audit.record(organisation.pk, actor, "deposit.claim", deposit, {"amount": str(deposit.amount)})
    return deposit


@transaction.atomic
def _remember(chain: str, entry: Log) -> None:
    """A log as a row: a new one, one that has moved to another block, or one that has come back."""
    where: dict[str, Any] = {"block_number": entry.block_number, "block_hash": entry.block_hash}
    deposit, made = Deposit.objects.select_for_update(no_key=True, of=("self",)).get_or_create(
        chain=chain,
        tx_hash=entry.tx_hash,
        log_index=entry.log_index,
        defaults={
            **where,
            "sender": entry.sender,
            "amount": entry.amount,
            "organisation": _organisation_of(entry.sender),
            "status": DepositStatus.SEEN,
        },
    )
    if made:
        tell_deposit(deposit)
    elif (deposit.sender, deposit.amount) != (entry.sender, entry.amount):
        raise_alarm(chain, ChainAlarm.Kind.DISPUTED, deposit, "the node changed its mind about sender or amount")
    elif deposit.status == DepositStatus.VANISHED:
        switch_deposit(deposit, DepositStatus.SEEN, **where)
    elif deposit.status == DepositStatus.REVERSED:
        switch_deposit(deposit, DepositStatus.SEEN, round=deposit.round + 1, credited_at=None, **where)
    elif deposit.block_hash != entry.block_hash:
        Deposit.objects.filter(pk=deposit.pk).update(**where)


def _to_look_at(chain: str, head: Head) -> list[Deposit]:
    rows = Deposit.objects.filter(chain=chain).select_related("organisation")
    recent = {DepositStatus.CREDITED, DepositStatus.UNMATCHED}
    watched = rows.filter(status__in=recent, block_number__gt=head.number - WATCH)
    return [*rows.filter(status__in=OPEN).order_by("pk"), *watched.order_by("pk")]


def _advance(deposit: Deposit, head: Head) -> None:
    """Its block stands: count confirmations, and settle it when the block is final."""
    if deposit.status not in OPEN:
        return
    _count(deposit, head.number - deposit.block_number + 1)
    if deposit.status == DepositStatus.SEEN:
        if deposit.confirmations < network_of(deposit.chain).confirmations:
            return
        switch_deposit(deposit, DepositStatus.CONFIRMED)
    if deposit.block_number <= head.finalized:
        _settle(deposit)


def _count(deposit: Deposit, confirmations: int) -> None:
    """What the page shows while one waits; the sender may have been linked meanwhile."""
    changes: dict[str, object] = {"confirmations": confirmations}
    if deposit.organisation is None and (organisation := _organisation_of(deposit.sender)):
        changes["organisation"] = organisation
    if confirmations != deposit.confirmations or len(changes) > 1:
        Deposit.objects.filter(pk=deposit.pk).update(**changes)
        deposit.refresh_from_db()
        tell_deposit(deposit)


def _settle(deposit: Deposit) -> None:
    """Its block is final: credit it when every node of ours has the same log in the same block."""
    unsure = [str(place) for place, node in enumerate(nodes.nodes_of(deposit.chain), 1) if not _has(node, deposit)]
    if unsure:
        overdue = deposit.seen_at < now() - timedelta(hours=1)
        if overdue:
            raise_alarm(deposit.chain, ChainAlarm.Kind.DISPUTED, deposit, f"not confirmed by node {', '.join(unsure)}")
        return
    with transaction.atomic():
        deposit = Deposit.objects.select_for_update(no_key=True, of=("self",)).get(pk=deposit.pk)
        if deposit.status != DepositStatus.CONFIRMED:
            return
        if deposit.organisation is None:
            switch_deposit(deposit, DepositStatus.UNMATCHED)
        else:
            credit(deposit)


def _has(node: Node, deposit: Deposit) -> bool:
    """Whether the node has the deposit's log, in a block that is on its chain and final for it."""
    receipt = node.receipt(deposit.tx_hash)
    if receipt is None or receipt.block_hash != deposit.block_hash or not _is_in(receipt, deposit):
        return False
    return node.head().finalized >= deposit.block_number and node.block_hash(receipt.block_number) == receipt.block_hash


def _is_in(receipt: Receipt, deposit: Deposit) -> bool:
    wanted = (deposit.log_index, deposit.sender, deposit.amount, nodes.treasury())
    return receipt.succeeded and any(
        (entry.log_index, entry.sender, entry.amount, entry.recipient) == wanted for entry in receipt.transfers
    )


def _vanish(deposit: Deposit) -> None:
    """The chain has another block at this height, and the scan before has not found the log in a new place.

    A transaction that was mined again with another number of its log is another deposit: this one is gone.
    """
    for node in nodes.nodes_of(deposit.chain):
        if node.block_hash(deposit.block_number) in {None, deposit.block_hash}:
            return  # this one does not say that it is gone
        receipt = node.receipt(deposit.tx_hash)
        if receipt is not None and _is_in(receipt, deposit):
            return  # in a block that the next scan will read; or the nodes do not agree
    if deposit.status != DepositStatus.CREDITED:
        switch_deposit(deposit, DepositStatus.VANISHED, confirmations=0)
        return
    with transaction.atomic():
        deposit = Deposit.objects.select_for_update(no_key=True, of=("self",)).get(pk=deposit.pk)
        if deposit.status == DepositStatus.CREDITED:
            owed = take_back(deposit)
            detail = f"{deposit.amount} USDC taken back, of which the wallet lacked {owed}"
            raise_alarm(deposit.chain, ChainAlarm.Kind.VANISHED, deposit, detail)


def _organisation_of(sender: str) -> Organisation | None:
    link = LinkedWallet.objects.filter(address=sender, unlinked_at=None).select_related("organisation").first()
    return link.organisation if link else None
