from django.urls import path

from console import (
    staff,
    views,
    views_chargebacks,
    views_disputes,
    views_limits,
    views_money,
    views_payouts,
    views_reconciliation,
)

app_name = "console"
urlpatterns = [
    path("dashboard/", views.show_dashboard, name="dashboard"),
    path("pods/", views.show_pods, name="pods"),
    path("pods/<str:pod_id>/", views.show_pod, name="pod"),
    path("pods/<str:pod_id>/logs.txt", views.download_logs, name="pod-log-file"),
    path("pods/<str:pod_id>/tab/<slug:tab>/", views.show_pod_tab, name="pod-tab"),
    path("pods/<str:pod_id>/<slug:act>/", views.act_on_pod, name="pod-act"),
    path("activity/", views.show_activity, name="activity"),
    path("nodes/", views.show_nodes, name="nodes"),
    path("billing/limits/", views_limits.show_limits, name="limits"),
    path("staff/costs/", views_money.show_costs, name="costs"),
    path("staff/customers/", views_money.list_customers, name="customers"),
    path("staff/customers/<str:organisation_id>/", views_money.show_customer, name="customer"),
    path("staff/refunds/", views_money.show_refunds, name="refunds"),
    path("staff/transactions/", views_money.list_transactions, name="transactions"),
    path("staff/transactions/<str:tx_id>/", views_money.show_transaction, name="transaction"),
    path("staff/disputes/", views_disputes.list_disputes, name="disputes"),
    path("staff/disputes/<str:dispute_id>/", views_disputes.show_dispute, name="dispute"),
    path("staff/disputes/<str:dispute_id>/decide/", views_disputes.decide, name="dispute-decide"),
    path("staff/disputes/<str:dispute_id>/evidence/<str:evidence_id>/", views_disputes.download, name="dispute-file"),
    path("staff/payouts/", views_payouts.show_payouts, name="payouts"),
    path("staff/payouts/bank-file/", views_payouts.make_bank_file, name="bank-file"),
    path("staff/payouts/bank-file/<str:file_id>.xml", views_payouts.download_bank_file, name="bank-file-download"),
    path("staff/payouts/payees/<str:organisation_id>/<slug:act>/", views_payouts.act_on_payee, name="payee-act"),
    path("staff/payouts/<str:payout_id>/<slug:act>/", views_payouts.act_on_payout, name="payout-act"),
    path("staff/reconciliation/", views_reconciliation.show_reconciliation, name="reconciliation"),
    path("staff/reconciliation/run/", views_reconciliation.run_reconciliation, name="reconciliation-run"),
    path(
        "staff/reconciliation/<uuid:case_id>/resolve/", views_reconciliation.resolve_case, name="reconciliation-resolve"
    ),
    path("staff/chargebacks/", views_chargebacks.list_chargebacks, name="chargebacks"),
    path("staff/chargebacks/<str:chargeback_id>/", views_chargebacks.show_chargeback, name="chargeback"),
    path(
        "staff/chargebacks/<str:chargeback_id>/evidence.txt",
        views_chargebacks.download_evidence,
        name="chargeback-evidence",
    ),
    path("staff/chargebacks/<str:chargeback_id>/submit/", views_chargebacks.submit_evidence, name="chargeback-submit"),
    path(
        "staff/chargebacks/<str:chargeback_id>/accept/", views_chargebacks.accept_chargeback, name="chargeback-accept"
    ),
    path("staff/", staff.show_staff_dashboard, name="staff"),
]
