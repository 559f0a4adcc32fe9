from django.urls import path

from console import staff
from console.views import chargebacks, disputes, limits, money, nodes, payouts, pods, reconciliation

app_name = "console"
urlpatterns = [
    path("dashboard/", pods.show_dashboard, name="dashboard"),
    path("pods/", pods.show_pods, name="pods"),
    path("pods/<str:pod_id>/", pods.show_pod, name="pod"),
    path("pods/<str:pod_id>/logs.txt", pods.download_logs, name="pod-log-file"),
    path("pods/<str:pod_id>/tab/<slug:tab>/", pods.show_pod_tab, name="pod-tab"),
    path("pods/<str:pod_id>/<slug:act>/", pods.act_on_pod, name="pod-act"),
    path("activity/", pods.show_activity, name="activity"),
    path("nodes/", nodes.show_nodes, name="nodes"),
    path("nodes/<str:node_id>/price/", nodes.price_node, name="node-price"),
    path("billing/limits/", limits.show_limits, name="limits"),
    path("staff/costs/", money.show_costs, name="costs"),
    path("staff/customers/", money.list_customers, name="customers"),
    path("staff/customers/<str:organisation_id>/", money.show_customer, name="customer"),
    path("staff/refunds/", money.show_refunds, name="refunds"),
    path("staff/transactions/", money.list_transactions, name="transactions"),
    path("staff/transactions/<str:tx_id>/", money.show_transaction, name="transaction"),
    path("staff/disputes/", disputes.list_disputes, name="disputes"),
    path("staff/disputes/<str:dispute_id>/", disputes.show_dispute, name="dispute"),
    path("staff/disputes/<str:dispute_id>/decide/", disputes.decide, name="dispute-decide"),
    path("staff/disputes/<str:dispute_id>/evidence/<str:evidence_id>/", disputes.download, name="dispute-file"),
    path("staff/payouts/", payouts.show_payouts, name="payouts"),
    path("staff/payouts/bank-file/", payouts.make_bank_file, name="bank-file"),
    path("staff/payouts/bank-file/<str:file_id>.xml", payouts.download_bank_file, name="bank-file-download"),
    path("staff/payouts/bank-file/<str:file_id>/paid/", payouts.mark_bank_file_paid, name="bank-file-paid"),
    path("staff/payouts/payees/<str:organisation_id>/<slug:act>/", payouts.act_on_payee, name="payee-act"),
    path("staff/payouts/<str:payout_id>/<slug:act>/", payouts.act_on_payout, name="payout-act"),
    path("staff/reconciliation/", reconciliation.show_reconciliation, name="reconciliation"),
    path("staff/reconciliation/run/", reconciliation.run_reconciliation, name="reconciliation-run"),
    path("staff/reconciliation/<uuid:case_id>/resolve/", reconciliation.resolve_case, name="reconciliation-resolve"),
    path("staff/chargebacks/", chargebacks.list_chargebacks, name="chargebacks"),
    path("staff/chargebacks/<str:chargeback_id>/", chargebacks.show_chargeback, name="chargeback"),
    path(
        "staff/chargebacks/<str:chargeback_id>/evidence.txt",
        chargebacks.download_evidence,
        name="chargeback-evidence",
    ),
    path("staff/chargebacks/<str:chargeback_id>/submit/", chargebacks.submit_evidence, name="chargeback-submit"),
    path("staff/chargebacks/<str:chargeback_id>/accept/", chargebacks.accept_chargeback, name="chargeback-accept"),
    path("staff/", staff.show_staff_dashboard, name="staff"),
]
