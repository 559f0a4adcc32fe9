"""Money: accounts and transfers, plans and subscriptions, payments, credits. Only domain modules write here."""

from billing.models.alerts import BalanceAlert
from billing.models.chain import (
    ChainAlarm,
    ChainCursor,
    Deposit,
    LinkedWallet,
    LinkNonce,
    Withdrawal,
    WithdrawalAttempt,
)
from billing.models.chargebacks import Chargeback
from billing.models.credits import CreditLot, CreditRate
from billing.models.disputes import Dispute, DisputeAppeal, DisputeDecision, DisputeEvidence, DisputeRecord
from billing.models.invoices import BillingDetails, Invoice, InvoiceFile, TaxRate
from billing.models.ledger import Account, Currency, Transfer
from billing.models.methods import PaymentMethod, ServiceCustomer
from billing.models.payments import Payment, Refund, WebhookEvent
from billing.models.payouts import BankFile, PayeeProfile, Payout, PayoutMethod
from billing.models.plans import Plan, Subscription
from billing.models.reconciliation import ReconciliationCase, ReconciliationRun
from billing.models.referrals import Referral, ReferralCode
from billing.models.top_ups import AutoTopUp

__all__ = [
    "Account",
    "AutoTopUp",
    "BalanceAlert",
    "BankFile",
    "BillingDetails",
    "ChainAlarm",
    "ChainCursor",
    "Chargeback",
    "CreditLot",
    "CreditRate",
    "Currency",
    "Deposit",
    "Dispute",
    "DisputeAppeal",
    "DisputeDecision",
    "DisputeEvidence",
    "DisputeRecord",
    "Invoice",
    "InvoiceFile",
    "LinkNonce",
    "LinkedWallet",
    "PayeeProfile",
    "Payment",
    "PaymentMethod",
    "Payout",
    "PayoutMethod",
    "Plan",
    "ReconciliationCase",
    "ReconciliationRun",
    "Referral",
    "ReferralCode",
    "Refund",
    "ServiceCustomer",
    "Subscription",
    "TaxRate",
    "Transfer",
    "WebhookEvent",
    "Withdrawal",
    "WithdrawalAttempt",
]
