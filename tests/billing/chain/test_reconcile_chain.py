"""The treasury on the chain against the books: equal at every stage of a deposit, a case when a token has gone."""

from __future__ import annotations

from accounts.models import Organisation
from billing import reconciliation
from billing.chain import deposits
from billing.models import Deposit
from tests.billing.chain.driver import Chain, Wallet

SOURCE = "usdc:sandbox"


def compare() -> list[tuple[str, str]]:
    run = reconciliation.run(SOURCE)
    assert run.error == ""
    return [(case.ours, case.theirs) for case in reconciliation.open_cases()]


def test_a_deposit_is_the_same_on_both_sides(
    chain: Chain, treasury: str, payer: Wallet, organisation: Organisation
) -> None:
    assert SOURCE in reconciliation.sources()
    deposits.scan("sandbox")
    assert compare() == []
    chain.pay(payer, treasury, "25.5")
    deposits.scan("sandbox")
    assert (Deposit.objects.get().status, compare()) == ("seen", [])
    chain.finalize()
    deposits.scan("sandbox")
    assert (Deposit.objects.get().status, compare()) == ("credited", [])


def test_a_deposit_that_nobody_noticed(chain: Chain, treasury: str, payer: Wallet, organisation: Organisation) -> None:
    deposits.scan("sandbox")
    chain.pay(payer, treasury, "25.5")
    assert compare() == [("0 USDC", "25.5 USDC")]
    deposits.scan("sandbox")
    assert compare() == []
