"""USDC on its way out: held, limited, sent once whatever dies in between, and booked when the chain has decided."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from accounts.models import Organisation
from billing import ledger, wallet
from billing.chain import agreement, follow, nodes, sending, withdrawals
from billing.chain.client import Node
from billing.chain.facts import ChainDown
from billing.chain.networks import NETWORKS
from billing.models import ChainAlarm, ChainCursor, Withdrawal, WithdrawalAttempt
from lib.clock import now
from lib.errors import Conflict, Invalid
from tests.billing.chain.driver import Chain, Wallet
from tests.billing.money import fund
from tests.people import Person

SANDBOX = NETWORKS["sandbox"]


@pytest.fixture
def rich(chain: Chain, treasury: str, organisation: Organisation, settings: Any) -> Organisation:
    """20,000 USDC in the wallet, and as many in the treasury, which can pay for transactions."""
    settings.WITHDRAWAL_DELAY = timedelta(0)
    fund(organisation, "20000", "USDC")
    chain.fund(Wallet(account=nodes.signer()._account), "20000")  # type: ignore[attr-defined]
    return organisation


def ask(owner: Person, to: str, amount: str = "100", key: str = "k1", **columns: Any) -> Withdrawal:
    assert owner.organisation is not None
    wanted = {"organisation": owner.organisation, "network": SANDBOX, "actor": owner.actor, **columns}
    return withdrawals.request_withdrawal(address=to, amount=amount, key=key, **wanted)


def turn() -> None:
    withdrawals.queue_due("sandbox")
    sending.send_due("sandbox")


def again(withdrawal: Withdrawal) -> Withdrawal:
    withdrawal.refresh_from_db()
    return withdrawal


def held(organisation: Organisation) -> tuple[Decimal, Decimal]:
    balance = wallet.balance(organisation, "USDC")
    return balance.available, balance.held


def test_held_sent_final_booked(chain: Chain, owner: Person, rich: Organisation) -> None:
    to = Wallet().address
    withdrawal = ask(owner, to, "100.5")
    assert held(rich) == (Decimal("19899.5"), Decimal("100.5"))
    turn()
    assert again(withdrawal).status == "sent"
    turn()
    assert again(withdrawal).status == "sent", "mined, and not final"
    chain.finalize()
    turn()
    assert (again(withdrawal).status, chain.usdc_of(to)) == ("done", Decimal("100.5"))
    assert held(rich) == (Decimal("19899.5"), Decimal(0))
    assert withdrawal.tx_hash == withdrawal.attempts.get().tx_hash


def test_same_key_is_one_withdrawal(owner: Person, rich: Organisation) -> None:
    to = Wallet().address
    assert ask(owner, to).pk == ask(owner, to).pk
    with pytest.raises(Conflict):
        ask(owner, to, "200")
    assert Withdrawal.objects.count() == 1


@pytest.mark.parametrize("amount", ["0", "-5", "0.5", "1.0000001", "10000.01", "NaN", "much"])
def test_amounts_that_are_refused(owner: Person, rich: Organisation, amount: str) -> None:
    with pytest.raises(Invalid):
        ask(owner, Wallet().address, amount)
    assert held(rich)[1] == 0


def test_addresses_that_are_refused(owner: Person, rich: Organisation, treasury: str) -> None:
    wrong_sum = Wallet().address
    wrong_sum = wrong_sum[:2] + wrong_sum[2:].swapcase()
    for address in ("", "0x12", wrong_sum, "0x" + "0" * 40, treasury, SANDBOX.token, "me.eth"):
        with pytest.raises(Invalid):
            ask(owner, address)


def test_day_limit_and_balance(owner: Person, rich: Organisation) -> None:
    to = Wallet().address
    fund(rich, "50000", "USDC")
    for number in range(2):
        ask(owner, to, "10000", key=f"k{number}")
    with pytest.raises(Invalid) as refusal:
        ask(owner, to, "5001", key="over")
    assert refusal.value.code == "daily_limit"
    assert withdrawals.left_today(rich) == 5000
    withdrawals.cancel(Withdrawal.objects.order_by("pk")[0], actor=owner.actor)
    assert withdrawals.left_today(rich) == 15000


def test_more_than_there_is(owner: Person, organisation: Organisation, chain: Chain) -> None:
    fund(organisation, "50", "USDC")
    with pytest.raises(ledger.Overdraft):
        ask(owner, Wallet().address, "50.01")
    assert Withdrawal.objects.count() == 0


def test_new_address_waits(owner: Person, rich: Organisation, settings: Any) -> None:
    settings.WITHDRAWAL_DELAY = timedelta(hours=24)
    withdrawal = ask(owner, Wallet().address)
    turn()
    assert again(withdrawal).status == "waiting"
    assert timedelta(hours=23) < withdrawal.not_before - now() <= timedelta(hours=24)
    Withdrawal.objects.update(not_before=now(), created_at=now() - timedelta(hours=25))
    turn()
    assert again(withdrawal).status == "sent"
    known = ask(owner, withdrawal.address, key="k2")
    assert known.not_before <= now()


def test_owners_are_told(
    owner: Person,
    billing_member: Person,
    viewer: Person,
    rich: Organisation,
    settings: Any,
    mailoutbox: list[Any],
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    to = Wallet().address
    ask(owner, to)
    told = {mail.to[0]: mail.body for mail in mailoutbox}
    assert set(told) == {owner.user.email, billing_member.user.email}
    assert all(to in body and "/billing/usdc/" in body for body in told.values())


def test_large_sum_waits_for_staff(chain: Chain, owner: Person, staff: Person, rich: Organisation) -> None:
    withdrawal = ask(owner, Wallet().address, "3000")
    turn()
    assert again(withdrawal).status == "waiting"
    withdrawals.approve(withdrawal, person=staff.user, actor=staff.actor)
    turn()
    assert again(withdrawal).status == "sent"
    with pytest.raises(Conflict):
        withdrawals.approve(withdrawal, person=staff.user, actor=staff.actor)
    with pytest.raises(Conflict):
        withdrawals.cancel(withdrawal, actor=owner.actor)


def test_stuck_is_replaced_with_the_same_nonce(chain: Chain, owner: Person, rich: Organisation) -> None:
    to = Wallet().address
    with chain.mining_stopped():
        withdrawal = ask(owner, to)
        turn()
        WithdrawalAttempt.objects.update(sent_at=now() - timedelta(minutes=4))
        turn()
        first, second = withdrawal.attempts.order_by("number")
        assert second.max_fee_wei >= first.max_fee_wei * 9 // 8
        assert second.priority_fee_wei >= first.priority_fee_wei * 9 // 8
        turn()
        assert withdrawal.attempts.count() == 2, "the second has its own time"
        chain.mine()
    chain.finalize()
    turn()
    assert (again(withdrawal).status, withdrawal.tx_hash) == ("done", second.tx_hash)
    assert chain.usdc_of(to) == 100


@pytest.mark.parametrize("sent", [False, True], ids=["before it was sent", "before the answer came"])
def test_died_while_sending(
    chain: Chain, owner: Person, rich: Organisation, monkeypatch: pytest.MonkeyPatch, sent: bool
) -> None:
    """Stored and committed, then nothing more is known: the same transaction goes out again, and is paid once."""
    to = Wallet().address
    withdrawal = ask(owner, to)
    send = Node.send

    def cut(node: Node, raw: str) -> None:
        if sent:
            send(node, raw)
        raise ChainDown("the connection broke")

    with monkeypatch.context() as broken:
        broken.setattr(Node, "send", cut)
        with pytest.raises(ChainDown):
            turn()
    assert again(withdrawal).status == "signed"
    turn()
    chain.finalize()
    turn()
    assert (again(withdrawal).status, chain.usdc_of(to)) == ("done", Decimal(100))
    assert withdrawal.attempts.count() == 1


def test_paused_token_is_waited_for(chain: Chain, owner: Person, rich: Organisation) -> None:
    withdrawal = ask(owner, Wallet().address)
    chain.pause_token(True)
    try:
        turn()
        assert (again(withdrawal).status, withdrawal.nonce) == ("queued", None)
        assert "paused" in withdrawal.reason
    finally:
        chain.pause_token(False)
    turn()
    assert again(withdrawal).status == "sent"


def test_reverted_on_the_chain_gives_the_sum_back(chain: Chain, owner: Person, rich: Organisation) -> None:
    with chain.mining_stopped():
        withdrawal = ask(owner, Wallet().address)
        turn()
        chain.pause_token(True)  # between our look and the transaction, in the same block
        chain.mine()
    chain.pause_token(False)
    chain.finalize()
    turn()
    assert again(withdrawal).status == "failed"
    assert held(rich) == (Decimal(20000), Decimal(0))
    assert ChainAlarm.objects.get().kind == "reverted"


def test_rewritten_chain_is_no_payment(chain: Chain, owner: Person, rich: Organisation) -> None:
    """Mined, dropped by a reorganisation before it was final, and sent again: paid once."""
    to = Wallet().address
    withdrawal = ask(owner, to)
    turn()
    chain.reorg(1)
    turn()
    assert again(withdrawal).status == "sent"
    WithdrawalAttempt.objects.update(sent_at=now() - timedelta(minutes=4))
    turn()
    chain.finalize()
    turn()
    assert (again(withdrawal).status, chain.usdc_of(to)) == ("done", Decimal(100))


def test_treasury_without_gas_asks_the_faucet(chain: Chain, owner: Person, rich: Organisation) -> None:
    chain.call("anvil_setBalance", nodes.signer().address, "0x0")
    withdrawal = ask(owner, Wallet().address)
    turn()
    assert (again(withdrawal).status, withdrawal.reason) == ("queued", "no_gas")
    turn()
    assert again(withdrawal).status == "sent"


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once(chain: Chain, owner: Person, rich: Organisation) -> None:
    to = Wallet().address
    wanted = [ask(owner, to, "10", key=f"k{number}") for number in range(4)]
    withdrawals.queue_due("sandbox")

    def work(_number: int) -> None:
        try:
            for _ in range(3):
                sending.send_due("sandbox")
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as workers:
        list(workers.map(work, range(3)))
    turn()
    chain.finalize()
    turn()
    assert [again(row).status for row in wanted] == ["done"] * 4
    assert sorted(row.nonce for row in wanted if row.nonce is not None) == [0, 1, 2, 3]
    assert chain.usdc_of(to) == 40


def test_one_nonce_is_of_one_withdrawal(
    owner: Person, rich: Organisation, monkeypatch: pytest.MonkeyPatch, chain: Chain
) -> None:
    """Even without the lock: a worker that has an old count of nonces finds the nonce taken and stores nothing."""
    first, second = ask(owner, Wallet().address), ask(owner, Wallet().address, key="k2")
    with chain.mining_stopped():
        turn()
        assert (again(first).nonce, again(second).nonce) == (0, 1)
        third = ask(owner, Wallet().address, key="k3")
        monkeypatch.setattr(agreement, "next_nonce", lambda chain, address: 1)
        turn()
    assert (again(third).status, third.nonce, third.attempts.count()) == ("queued", None, 0)


def test_nonce_used_by_somebody_else(chain: Chain, owner: Person, staff: Person, rich: Organisation) -> None:
    """A second program with the same key: ours can never be mined, and staff give the sum back."""
    key = Wallet(account=nodes.signer()._account)  # type: ignore[attr-defined]
    with chain.mining_stopped():
        withdrawal = ask(owner, Wallet().address)
        turn()
        chain.call("anvil_dropTransaction", withdrawal.attempts.get().tx_hash)
        with pytest.raises(Conflict):
            sending.give_up(again(withdrawal), actor=staff.actor)
        chain.pay(key, Wallet().address, "1")
        chain.mine()
    chain.finalize()
    turn()
    assert (again(withdrawal).status, ChainAlarm.objects.get().kind) == ("sent", "stuck")
    sending.give_up(withdrawal, actor=staff.actor)
    assert (again(withdrawal).status, held(rich)) == ("failed", (Decimal(20000), Decimal(0)))


def test_key_was_changed_while_one_was_on_its_way(
    chain: Chain, owner: Person, rich: Organisation, settings: Any, tmp_path: Path
) -> None:
    """The nonce is the old key's: nothing is signed with it by the new one, and what was sent is sent again."""
    to = Wallet().address
    with chain.mining_stopped():
        withdrawal = ask(owner, to)
        turn()
        chain.call("anvil_dropTransaction", withdrawal.attempts.get().tx_hash)
        settings.CHAIN_KEY_FILE = tmp_path / "next_key"
        for _ in range(2):
            WithdrawalAttempt.objects.update(sent_at=now() - timedelta(minutes=4))
            turn()
        assert withdrawal.attempts.count() == 1
        assert ChainAlarm.objects.get().kind == "stuck"
        chain.mine()
    chain.finalize()
    turn()
    assert (again(withdrawal).status, chain.usdc_of(to)) == ("done", Decimal(100))


def test_one_that_the_token_refuses_keeps_no_other_waiting(chain: Chain, owner: Person, rich: Organisation) -> None:
    """As to a recipient whom the token has barred; here it is more than the treasury has."""
    treasury = Wallet(account=nodes.signer()._account)  # type: ignore[attr-defined]
    chain.pay(treasury, Wallet().address, "19900")
    refused, payable = ask(owner, Wallet().address, "101"), ask(owner, Wallet().address, "100", key="k2")
    for _ in range(2):
        turn()
    assert (again(refused).status, again(payable).status) == ("queued", "sent")
    alarm = ChainAlarm.objects.get()
    assert (alarm.kind, alarm.subject) == ("stuck", refused.public_id)


def test_called_off_in_between_keeps_no_other_waiting(
    chain: Chain, owner: Person, rich: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = ask(owner, Wallet().address), ask(owner, Wallet().address, key="k2")
    transfer = Node.transfer

    def call_off(node: Node, **what: Any) -> tuple[str, int]:
        if again(first).status == "queued":
            withdrawals.cancel(first, actor=owner.actor)
        return transfer(node, **what)

    monkeypatch.setattr(Node, "transfer", call_off)
    turn()
    assert (again(first).status, again(second).status) == ("cancelled", "sent")


def test_deposits_that_cannot_be_read_keep_none_waiting(
    chain: Chain, owner: Person, rich: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ChainDown("no logs today")

    withdrawal = ask(owner, Wallet().address)
    monkeypatch.setattr(Node, "transfers_to", fail)
    follow.follow_chains()
    assert again(withdrawal).status == "sent"
    assert ChainCursor.objects.get().last_error == "no logs today"


def test_large_sum_in_small_pieces_waits_for_staff(owner: Person, staff: Person, rich: Organisation) -> None:
    to = Wallet().address
    assert not ask(owner, to, "2500", key="k1").needs_approval
    over = ask(owner, to, "1", key="k2")
    assert over.needs_approval
    Withdrawal.objects.update(created_at=now() - timedelta(hours=25))
    assert not ask(owner, to, "2000", key="k3").needs_approval
    seen = ask(owner, to, "3000", key="k4")
    withdrawals.approve(seen, person=staff.user, actor=staff.actor)
    assert not ask(owner, to, "500", key="k5").needs_approval, "what staff have seen does not count"


def test_fees_beyond_reason_are_waited_out(chain: Chain, owner: Person, rich: Organisation) -> None:
    withdrawal = ask(owner, Wallet().address)
    chain.call("anvil_setNextBlockBaseFeePerGas", hex(600 * 10**9))
    chain.mine()
    turn()
    assert (again(withdrawal).status, withdrawal.reason) == ("queued", "fees_too_high")
    chain.call("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    chain.mine()
    turn()
    assert again(withdrawal).status == "sent"
