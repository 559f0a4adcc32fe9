"""USDC in and out, on a real chain."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from django.conf import settings

from billing import tasks, wallet
from billing.chain import nodes
from billing.lifecycle import DepositStatus, WithdrawalStatus
from billing.models import Deposit, LinkedWallet, Withdrawal
from lib.clock import now
from tests.billing.chain.driver import Chain, Wallet
from tests.billing.money import fund
from tests.crash.books import open_holds
from tests.crash.flow import Facts, Flow, ask, customer, organisation_of

FAR = 70  # blocks after which the logs of an earlier run are not read again


def chain() -> Chain:
    return Chain(settings.CHAINS["sandbox"][0], Path())


def fund_treasury() -> None:
    """With USDC for all runs of a flow, and what transactions cost. What comes in is watched, as deposits are, for a
    while."""
    chain().fund(Wallet(account=nodes.signer()._account), "10000")  # type: ignore[attr-defined]
    chain().mine(FAR)


def usdc(facts: Facts) -> Decimal:
    return wallet.balance(organisation_of(facts), "USDC").available


class DepositCredited(Flow):
    name, peers, is_asked_for = "USDC deposit", ("chain",), False

    def prepare(self) -> Facts:
        facts, payer = customer()[1], Wallet()
        chain().mine(FAR)
        tasks.follow_chains()  # knows where the chain was before
        chain().fund(payer)
        LinkedWallet.objects.create(organisation=organisation_of(facts), address=payer.address)
        chain().pay(payer, nodes.treasury(), "25.5")
        chain().finalize()
        return facts

    def act(self, facts: Facts) -> None:
        tasks.follow_chains()

    def work(self, facts: Facts) -> None:
        tasks.follow_chains()

    def check(self, facts: Facts) -> None:
        deposit = Deposit.objects.get(organisation=facts["organisation"])
        assert (deposit.status, usdc(facts)) == (DepositStatus.CREDITED, Decimal("25.5"))


class Withdraw(Flow):
    """Asked for, signed, sent, final, booked."""

    name, peers, is_asked_for = "USDC withdrawal", ("chain",), False

    def set_up(self) -> None:
        fund_treasury()

    def prepare(self) -> Facts:
        facts, to = customer()[1], Wallet()
        organisation = organisation_of(facts)
        fund(organisation, "200", "USDC")
        LinkedWallet.objects.create(organisation=organisation, address=to.address, linked_at=now() - timedelta(days=2))
        return {**facts, "to": to.address}

    def act(self, facts: Facts) -> None:
        ask(facts, "wallets/withdraw", {"chain": "sandbox", "address": facts["to"], "amount": "100"})
        self.work(facts)
        tasks.follow_chains()

    def work(self, facts: Facts) -> None:
        tasks.follow_chains()
        chain().finalize()

    def check(self, facts: Facts) -> None:
        withdrawal = Withdrawal.objects.get(organisation=facts["organisation"])
        assert (withdrawal.status, withdrawal.attempts.count()) == (WithdrawalStatus.DONE, 1)
        assert (usdc(facts), chain().usdc_of(facts["to"])) == (Decimal(100), Decimal(100))
        assert open_holds(organisation_of(facts)) == 0


FLOWS: tuple[Flow, ...] = (DepositCredited(), Withdraw())
