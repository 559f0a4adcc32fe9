"""What the worker does for billing. Each task may run twice or be lost: the next tick finds what is left."""

from __future__ import annotations

import logging
from itertools import chain

from celery import shared_task

from billing import (
    auto_top_up,
    balance_alerts,
    chargebacks,
    dunning,
    invoice_files,
    invoices,
    ledger,
    lots,
    receipts,
    reconcile,
    reconciliation,
    referrals,
    refunds,
)
from billing.book_checks import check_books
from billing.chain import follow
from billing.disputes import deciding
from billing.payouts import requesting, sending
from billing.subscriptions import end_lapsed
from lib.turns import turn

log = logging.getLogger(__name__)


@shared_task
def expire_holds() -> None:
    ledger.expire_holds()


@shared_task
def expire_credits() -> None:
    lots.warn_of_expiry()
    lots.expire_due()


@shared_task
def reconcile_payments() -> None:
    """Each part by itself: what stops one stops no other."""
    parts = (
        end_lapsed,
        reconcile.reconcile_payments,
        refunds.reconcile_refunds,
        reconcile.process_late_events,
        _deliver_late_invoices,
    )
    for part in parts:
        try:
            part()
        except Exception:
            log.exception("%s", part.__name__)


def _deliver_late_invoices() -> None:
    for invoice in invoices.without_file():
        deliver_invoice.delay_on_commit(str(invoice.pk))  # each by itself: one that fails holds up no other


@shared_task
def reconcile_subscriptions() -> None:
    """What services have renewed, and the schedule of what they could not."""
    dunning.reconcile_subscriptions()


@shared_task
def reconcile_chargebacks() -> None:
    """What payers' banks dispute: unheard of, to be answered, due soon."""
    chargebacks.reconcile_chargebacks()


@shared_task
def keep_wallets_filled() -> None:
    auto_top_up.keep_wallets_filled()


@shared_task
def watch_balances() -> None:
    balance_alerts.watch_balances()


@shared_task
def reconcile_referrals() -> None:
    referrals.reconcile_referrals()


@shared_task
def reconcile_payouts() -> None:
    """What is due is sent, what is on its way is asked about."""
    sending.reconcile_payouts()


@shared_task
def pay_out_weekly() -> None:
    """On Mondays; in the other hours there is nothing to do."""
    requesting.pay_out_weekly()


@shared_task
def reconcile_disputes() -> None:
    """Deadlines of renters and owners that have passed."""
    deciding.reconcile_disputes()


@shared_task
def process_webhook(event_id: int) -> None:
    reconcile.process_quietly(event_id)


@shared_task
def deliver_invoice(invoice_id: str) -> None:
    """Make its PDF and mail it."""
    receipts.deliver(invoices.find(invoice_id))


@shared_task
def follow_chains() -> None:
    follow.follow_chains()


@shared_task
def check_ledger() -> None:
    """Nightly: releases what the minute's look back has missed, sweeps up files, reports what does not balance or is lost."""
    ledger.expire_holds(since=None, limit=10_000)
    for problem in [*chain.from_iterable(check_books().values()), *invoice_files.check()]:
        log.error("ledger: %s", problem)
    invoice_files.sweep()


@shared_task
def reconcile_everything() -> None:
    """Nightly and on demand: the books against the payment services and the chains; one worker at a time."""
    with turn("reconciliation") as ours:
        for run in reconciliation.run_all() if ours else ():
            if run.error or run.differences:
                log.error("reconciliation of %s: %s differences %s", run.source, run.differences, run.error)
