"""A transfer to the treasury becomes money in the wallet: once, when it is final, and only of the right token."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Organisation
from billing import ledger, wallet
from billing.accounts import account_of, wallet_of
from billing.chain import deposits, networks, nodes
from billing.chain.client import WrongChain
from billing.chain.facts import ChainDown
from billing.models import Account, ChainAlarm, ChainCursor, Deposit, LinkedWallet
from billing.reconcile import check_clearing
from lib.errors import Conflict
from tests.billing.chain.driver import Chain, Wallet
from tests.billing.money import leg, opening
from tests.people import Person

ZERO = Decimal(0)


def usdc(organisation: Organisation) -> Decimal:
    return wallet.balance(organisation, "USDC").available


def scan() -> None:
    deposits.scan("sandbox")


def sole() -> Deposit:
    return Deposit.objects.get()


def credited(chain: Chain, payer: Wallet, treasury: str, amount: str = "25.50") -> Deposit:
    scan()
    chain.pay(payer, treasury, amount)
    chain.finalize()
    scan()
    return sole()


def test_seen_then_confirmed_then_credited(
    chain: Chain, treasury: str, payer: Wallet, organisation: Organisation
) -> None:
    scan()
    tx_hash = chain.pay(payer, treasury, "25.123456")
    scan()
    assert (sole().status, sole().organisation, sole().tx_hash) == ("seen", organisation, tx_hash)
    chain.mine()
    scan()
    assert (sole().status, sole().confirmations) == ("confirmed", 2)
    assert usdc(organisation) == 0, "nothing is credited before its block is final"
    chain.mine(2)
    scan()
    assert sole().status == "credited"
    assert usdc(organisation) == Decimal("25.123456")
    assert check_clearing() == []


def test_scanning_again_changes_nothing(chain: Chain, treasury: str, payer: Wallet, organisation: Organisation) -> None:
    credited(chain, payer, treasury)
    for _ in range(3):
        scan()
    ChainCursor.objects.update(block_number=0, finalized_number=0)  # as a restored backup would have it
    scan()
    assert Deposit.objects.count() == 1
    assert usdc(organisation) == Decimal("25.5")


@pytest.mark.parametrize("depth", [1, 2, 64])
def test_dropped_before_it_was_credited(
    chain: Chain, treasury: str, payer: Wallet, organisation: Organisation, depth: int
) -> None:
    chain.mine(70)
    scan()
    chain.pay(payer, treasury, "5")
    scan()
    # The transfer is one block deep; with more blocks on top, a deeper rewrite drops it as well.
    if depth > 1:
        chain.mine(depth - 1)
    chain.reorg(depth)
    scan()
    assert sole().status == "vanished"
    chain.finalize()
    scan()
    assert (sole().status, usdc(organisation)) == ("vanished", ZERO)
    assert ChainAlarm.objects.count() == 0, "nothing was lost"


def test_comes_back_in_another_block(chain: Chain, treasury: str, payer: Wallet, organisation: Organisation) -> None:
    scan()
    chain.pay(payer, treasury, "5")
    scan()
    chain.reorg(1)
    scan()
    chain.pay(payer, treasury, "5")
    chain.finalize()
    scan()
    assert usdc(organisation) == 5
    assert Deposit.objects.filter(status="credited").count() == 1


@pytest.mark.parametrize("depth", [4, 64])
def test_dropped_after_it_was_credited(
    chain: Chain, treasury: str, payer: Wallet, organisation: Organisation, depth: int
) -> None:
    chain.mine(30)
    deposit = credited(chain, payer, treasury)
    if depth > 4:
        chain.mine(depth - 4)
    chain.reorg(depth)
    chain.mine()
    scan()
    deposit.refresh_from_db()
    assert (deposit.status, usdc(organisation)) == ("reversed", ZERO)
    alarm = ChainAlarm.objects.get()
    assert (alarm.kind, alarm.subject) == ("vanished", deposit.public_id)
    assert check_clearing() == []
    scan()
    assert ChainAlarm.objects.count() == 1


def test_mined_again_with_another_number_of_its_log(
    chain: Chain, treasury: str, payer: Wallet, organisation: Organisation
) -> None:
    """Two payments of one block are credited; a rewrite after finality keeps only the second, now the first log."""
    other = Wallet()
    chain.fund(other)
    LinkedWallet.objects.create(organisation=organisation, address=other.address)
    scan()
    with chain.mining_stopped():
        dropped, kept = chain.pay(payer, treasury, "3"), chain.pay(other, treasury, "4")
        chain.mine()
    chain.finalize()
    scan()
    assert usdc(organisation) == 7
    first, second = Deposit.objects.order_by("log_index")
    gone = first if first.tx_hash == dropped else second
    chain.reorg(4, kept)
    for _ in range(2):
        chain.finalize()
        scan()
    assert usdc(organisation) == 4
    assert Deposit.objects.get(tx_hash=dropped).status == "reversed"
    assert Deposit.objects.filter(tx_hash=kept, status="credited").count() == 1
    assert gone.amount == 3
    assert check_clearing() == []


def test_what_was_spent_meanwhile_is_owed(
    chain: Chain, treasury: str, payer: Wallet, organisation: Organisation
) -> None:
    credited(chain, payer, treasury, "25")
    ledger.post([leg(wallet_of(organisation, "USDC"), opening("USDC"), "20", currency="USDC")])
    chain.reorg(4)
    chain.mine()
    scan()
    owed = account_of(organisation, Account.Kind.OWED_TO_US, "USDC")
    assert (usdc(organisation), owed.debits_posted) == (ZERO, Decimal(20))
    assert check_clearing() == []


def test_unknown_sender_waits_for_a_claim(
    chain: Chain, treasury: str, organisation: Organisation, staff: Person
) -> None:
    stranger = Wallet()
    chain.fund(stranger)
    deposit = credited(chain, stranger, treasury, "7")
    assert (deposit.status, deposit.organisation) == ("unmatched", None)
    deposits.claim(deposit, organisation, actor=staff.actor)
    assert usdc(organisation) == 7
    with pytest.raises(Conflict):
        deposits.claim(deposit, organisation, actor=staff.actor)
    assert usdc(organisation) == 7


def test_sender_linked_in_between(chain: Chain, treasury: str, organisation: Organisation) -> None:
    late = Wallet()
    chain.fund(late)
    scan()
    chain.pay(late, treasury, "7")
    scan()
    LinkedWallet.objects.create(organisation=organisation, address=late.address)
    chain.finalize()
    scan()
    assert usdc(organisation) == 7


def test_another_token_is_nothing(chain: Chain, treasury: str, payer: Wallet, organisation: Organisation) -> None:
    """As USDC.e on Polygon: the same name and decimals, another contract."""
    other = chain.new_token(decimals=6)
    chain.fund(payer, "50", token=other)
    scan()
    chain.pay(payer, treasury, "50", token=other)
    chain.pay(payer, treasury, "0")  # an empty transfer, as poisoners of address books send them
    chain.finalize()
    scan()
    assert Deposit.objects.count() == 0


def test_token_with_other_decimals_is_refused(db: None, chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    token = chain.new_token(decimals=18)
    other = replace(networks.NETWORKS["sandbox"], token=token)
    monkeypatch.setitem(networks.NETWORKS, "sandbox", other)
    nodes._connect.cache_clear()
    with pytest.raises(WrongChain):
        scan()
    assert ChainCursor.objects.count() == 0
    nodes._connect.cache_clear()


def test_node_of_another_chain_is_refused(chain: Chain, settings: Any) -> None:
    settings.CHAINS = {"sepolia": [chain.url]}
    with pytest.raises(ChainDown):
        deposits.scan("sepolia")


def test_many_at_once(chain: Chain, treasury: str, payer: Wallet, organisation: Organisation) -> None:
    scan()
    with chain.mining_stopped():
        for _ in range(5):
            chain.pay(payer, treasury, "1.10")
        chain.mine()
    chain.finalize()
    scan()
    assert Deposit.objects.filter(status="credited").count() == 5
    assert usdc(organisation) == Decimal("5.50")


def test_shortened_chain_is_waited_for(chain: Chain, treasury: str, payer: Wallet, organisation: Organisation) -> None:
    """That a node has no block at the height says nothing; another block there does."""
    deposit = credited(chain, payer, treasury, "5")
    chain.shorten(4)
    scan()
    deposit.refresh_from_db()
    assert (deposit.status, usdc(organisation)) == ("credited", Decimal(5))
    chain.finalize()
    scan()
    deposit.refresh_from_db()
    assert (deposit.status, usdc(organisation)) == ("reversed", ZERO)
    assert check_clearing() == []


@pytest.mark.parametrize(("spent", "left"), [("0", "25"), ("20", "5"), ("25", "0")])
def test_taken_back_and_come_again_settles_what_was_owed(
    chain: Chain, treasury: str, payer: Wallet, organisation: Organisation, spent: str, left: str
) -> None:
    deposit = credited(chain, payer, treasury, "25")
    if Decimal(spent):
        ledger.post([leg(wallet_of(organisation, "USDC"), opening("USDC"), spent, currency="USDC")])
    raw = chain.call("eth_getRawTransactionByHash", deposit.tx_hash)
    chain.reorg(4)
    chain.mine()
    scan()
    deposit.refresh_from_db()
    assert deposit.status == "reversed"
    assert chain.call("eth_sendRawTransaction", raw) == deposit.tx_hash
    chain.finalize()
    scan()
    deposit.refresh_from_db()
    assert (deposit.status, deposit.round, usdc(organisation)) == ("credited", 1, Decimal(left))
    owed = account_of(organisation, Account.Kind.OWED_TO_US, "USDC")
    assert owed.debits_posted == owed.credits_posted == Decimal(spent)
    assert check_clearing() == []


def test_treasury_in_any_spelling(chain: Chain, payer: Wallet, organisation: Organisation, settings: Any) -> None:
    treasury = Wallet().address
    settings.CHAIN_TREASURY = treasury.lower()
    assert nodes.treasury() == treasury
    credited(chain, payer, treasury, "7")
    assert usdc(organisation) == 7
