"""Earnings in USDC: dollars become USDC of the owner one for one, once, and become earnings again when they did not leave."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, connections, transaction

from accounts.models import Organisation
from accounts.roles import Permission
from billing import ledger, reconcile, reconciliation, wallet
from billing.accounts import Kind, account_of
from billing.chain import nodes, withdrawals
from billing.chain import sending as chain_sending
from billing.chain.networks import NETWORKS
from billing.lifecycle import PayoutStatus, switch_payout
from billing.models import LinkedWallet, Payout, Withdrawal
from billing.payments.base import NewPayout, RemotePayout, ServiceDown
from billing.payouts import methods, sending, unlinking, usdc
from billing.payouts.deciding import cancel, lock
from billing.payouts.earnings import earnings_of
from lib.clock import now
from lib.errors import Invalid
from tests.billing.chain.driver import Chain, Wallet
from tests.billing.earning import ask, can_be_paid, earn, later
from tests.billing.money import fund, leg
from tests.patience import PATIENCE_S
from tests.people import Caller, Person


@pytest.fixture(autouse=True)
def _treasury(chain: Chain, settings: Any, request: pytest.FixtureRequest) -> Iterator[None]:
    """It has USDC, and what transactions cost."""
    settings.WITHDRAWAL_DELAY = timedelta(0)
    chain.fund(Wallet(account=nodes.signer()._account), "20000")  # type: ignore[attr-defined]
    yield
    assert reconcile.check_clearing() == []
    if "astray" not in request.node.name:
        assert usdc.check() == []


@pytest.fixture
def payout(owner: Person, organisation: Organisation, payer: Wallet) -> Payout:
    """85 dollars of earnings, to be paid to a linked wallet."""
    earn(organisation)
    can_be_paid(owner).delete()
    method = methods.add_usdc(organisation, chain="sandbox", wallet=LinkedWallet.objects.get(), actor=owner.actor)
    assert method.destination == f"sandbox:{payer.address}"
    with later():
        made = ask(owner)
    Payout.objects.update(not_before=now())
    return made


def end_on_chain(chain: Chain) -> None:
    for _ in range(2):
        withdrawals.queue_due("sandbox")
        chain_sending.send_due("sandbox")
        chain.finalize()


def test_paid_one_for_one(chain: Chain, payout: Payout, organisation: Organisation, payer: Wallet) -> None:
    before = chain.usdc_of(payer.address)
    for _ in range(2):  # the same withdrawal, however often it is looked at
        assert sending.bring_up(payout.pk).status == PayoutStatus.SENT
        assert usdc.check() == []
    withdrawal = Withdrawal.objects.get()
    assert (withdrawal.amount, withdrawal.organisation) == (Decimal(85), organisation)
    assert earnings_of(organisation).set_aside == 85
    end_on_chain(chain)
    done = sending.bring_up(payout.pk)
    assert (done.status, done.service_ref) == (PayoutStatus.PAID, withdrawal.public_id)
    assert chain.usdc_of(payer.address) - before == 85
    assert earnings_of(organisation).balance == 0
    balance = wallet.balance(organisation, "USDC")
    assert balance.available == balance.held == 0
    dollars, coins = (account_of(None, Kind.CONVERSION, currency) for currency in ("USD", "USDC"))
    assert dollars.credits_posted - dollars.debits_posted == 85
    assert coins.debits_posted - coins.credits_posted == 85
    assert sending.bring_up(payout.pk).status == PayoutStatus.PAID


def test_called_off_is_earnings_again(payout: Payout, owner: Person, organisation: Organisation) -> None:
    sending.bring_up(payout.pk)
    withdrawals.cancel(Withdrawal.objects.get(), actor=owner.actor)
    failed = sending.bring_up(payout.pk)
    assert (failed.status, failed.reason) == (PayoutStatus.FAILED, "by_customer")
    assert earnings_of(organisation).balance == 85
    assert wallet.balance(organisation, "USDC").available == 0


def test_what_the_owner_kept_was_paid(payout: Payout, owner: Person, organisation: Organisation) -> None:
    """Called off, and used before we looked: once is enough."""
    sending.bring_up(payout.pk)
    withdrawals.cancel(Withdrawal.objects.get(), actor=owner.actor)
    elsewhere = account_of(None, Kind.REVENUE, "USDC")
    ledger.post([leg(account_of(organisation, Kind.WALLET, "USDC"), elsewhere, "30", currency="USDC")])
    paid = sending.bring_up(payout.pk)
    assert (paid.status, paid.reason) == (PayoutStatus.PAID, "kept_in_wallet")
    for _ in range(2):
        sending.bring_up(payout.pk)
        Payout.objects.update(checked_at=now() - timedelta(days=3))
        sending.reconcile_payouts()
    assert earnings_of(organisation).balance == 0
    assert wallet.balance(organisation, "USDC").available == 55


def test_beyond_the_limits_of_withdrawals(payout: Payout, owner: Person, organisation: Organisation) -> None:
    fund(organisation, "25000", "USDC")
    for number, amount in enumerate((10_000, 10_000, 4_990)):
        withdrawals.request_withdrawal(
            organisation=organisation,
            network=NETWORKS["sandbox"],
            address=Wallet().address,
            amount=Decimal(amount),
            actor=owner.actor,
            key=f"k{number}",
        )
    for _ in range(2):
        with pytest.raises(ServiceDown):
            sending.bring_up(payout.pk)
    assert wallet.balance(organisation, "USDC").available == 10
    withdrawals.cancel(Withdrawal.objects.order_by("pk")[0], actor=owner.actor)  # the day has room again
    assert sending.bring_up(payout.pk).service_ref


def test_a_large_sum_goes_in_pieces(owner: Person, organisation: Organisation, payout: Payout) -> None:
    earn(organisation, "20000")
    with later():
        with pytest.raises(Invalid):
            ask(owner, "10000.01")
        assert ask(owner).amount == 10_000


def test_an_unlinked_wallet_is_not_paid(payout: Payout, organisation: Organisation) -> None:
    LinkedWallet.objects.update(unlinked_at=now())
    failed = sending.bring_up(payout.pk)
    assert (failed.status, failed.reason) == (PayoutStatus.FAILED, "wallet_unlinked")
    assert earnings_of(organisation).balance == 85
    assert not Withdrawal.objects.exists()


def unlink(owner: Person) -> None:
    wallet = LinkedWallet.objects.get()
    assert owner.api("DELETE", f"wallets/links/{wallet.public_id}").status_code == 204
    assert not methods.methods_of(wallet.organisation).exists()


def test_unlinked_while_a_payout_waits(payout: Payout, owner: Person, organisation: Organisation) -> None:
    """Its method goes with the wallet, and the sum comes back at once."""
    unlink(owner)
    payout.refresh_from_db()
    assert (payout.status, payout.reason) == (PayoutStatus.CANCELLED, "method_removed")
    assert earnings_of(organisation).set_aside == 0


def test_unlinked_before_it_is_signed(payout: Payout, owner: Person, organisation: Organisation) -> None:
    sending.bring_up(payout.pk)
    unlink(owner)
    failed = sending.bring_up(payout.pk)
    assert (failed.status, failed.reason) == (PayoutStatus.FAILED, "wallet_unlinked")
    assert [earnings_of(organisation).balance, wallet.balance(organisation, "USDC").available] == [85, 0]


def somebody_waits() -> None:
    """For a lock that we hold."""
    deadline = time.monotonic() + PATIENCE_S
    with connection.cursor() as cursor:
        while True:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone() != (0,):
                return
            assert time.monotonic() < deadline
            time.sleep(0.05)


def elsewhere(act: Callable[[], object]) -> None:
    """By a thread's own connection."""
    try:
        act()
    finally:
        connections.close_all()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("number", [0, 1])
def test_unlinked_while_one_is_called_off(
    payout: Payout, owner: Person, organisation: Organisation, number: int
) -> None:
    """Neither waits for the other for ever: who calls one off holds it, and then wants the earnings."""
    earn(organisation)
    with later():
        held = [payout, ask(owner)][number]
    linked = LinkedWallet.objects.get()
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            lock(held)
            other = pool.submit(elsewhere, lambda: unlinking.unlink(linked, actor=owner.actor))
            somebody_waits()
            cancel(held, actor=owner.actor)
        other.result()
    assert set(Payout.objects.values_list("status", flat=True)) == {PayoutStatus.CANCELLED}
    assert earnings_of(organisation).set_aside == 0


@pytest.mark.django_db(transaction=True)
def test_its_end_waits_for_the_owner_first(payout: Payout, owner: Person, organisation: Organisation) -> None:
    """Who holds the owner may want the payout next: where a wallet is unlinked, both are locked."""
    sending.bring_up(payout.pk)
    withdrawals.cancel(Withdrawal.objects.get(), actor=owner.actor)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
            other = pool.submit(elsewhere, lambda: sending.bring_up(payout.pk))
            somebody_waits()
            lock(payout)
        other.result()
    assert Payout.objects.get().status == PayoutStatus.FAILED


def test_unlinked_when_it_has_left(chain: Chain, payout: Payout, owner: Person, payer: Wallet) -> None:
    sending.bring_up(payout.pk)
    withdrawals.queue_due("sandbox")
    chain_sending.send_due("sandbox")
    unlink(owner)
    end_on_chain(chain)
    assert sending.bring_up(payout.pk).status == PayoutStatus.PAID


def test_a_program_unlinks_no_wallet_that_is_paid_to(payout: Payout, owner: Person, organisation: Organisation) -> None:
    scopes = [Permission.SEE_BILLING, Permission.MANAGE_BILLING]
    key = owner.api("POST", "auth/api-keys", {"name": "ci", "scopes": scopes}).json()["key"]
    linked = LinkedWallet.objects.get()
    answer = Caller().api("DELETE", f"wallets/links/{linked.public_id}", headers={"X-API-Key": key})
    assert answer.status_code == 403
    linked.refresh_from_db()
    assert (linked.unlinked_at, methods.methods_of(organisation).count()) == (None, 1)


def test_what_another_worker_has_ended_is_not_sent(payout: Payout, organisation: Organisation) -> None:
    """It has read the payout as sent, and comes late."""
    assert switch_payout(payout, PayoutStatus.SENT, sent_at=now())
    remote = RemotePayout("", "", "failed", payout.amount, payout.currency, "refused")
    sending.book(payout, remote)
    with pytest.raises(ServiceDown):
        usdc.UsdcPayouts().send_payout(
            NewPayout(payout.public_id, payout.method.destination, payout.amount, payout.currency, "", now())
        )
    assert not Withdrawal.objects.exists()
    assert wallet.balance(organisation, "USDC").available == 0


def test_only_a_linked_wallet(owner: Person, organisation: Organisation, outsider: Person) -> None:
    assert outsider.organisation is not None
    theirs = LinkedWallet.objects.create(organisation=outsider.organisation, address=Wallet().address)
    for wrong in (None, theirs):
        with pytest.raises(Invalid):
            methods.add_usdc(organisation, chain="sandbox", wallet=wrong, actor=owner.actor)
    with pytest.raises(Invalid):
        methods.add_usdc(organisation, chain="polygon", wallet=theirs, actor=owner.actor)


def test_what_goes_astray_in_the_conversion_is_a_case(payout: Payout, organisation: Organisation) -> None:
    """USDC that went for no payout; and a payout that is paid and for which none were given."""
    sending.bring_up(payout.pk)
    coins, theirs = (
        account_of(owner, kind, "USDC") for owner, kind in ((None, "conversion"), (organisation, "wallet"))
    )
    ledger.post([leg(coins, theirs, "3", currency="USDC")])
    assert reconciliation.run(reconciliation.BOOKS).differences == 1
    case = reconciliation.open_cases()[0]
    assert (case.kind, case.ours) == (
        "conversion",
        "conversion USDC: payouts say -85.000000, the ledger -88.000000",
    )
    Payout.objects.update(status=PayoutStatus.PAID)
    assert usdc.check()[0] == (f"payout {payout.public_id} of 85.000000 is paid: 0 USD came, 85.000000 USDC went")
