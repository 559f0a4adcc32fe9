from django.urls import path

from console import staff, views, views_chargebacks, views_limits, views_reconciliation

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
