from django.urls import path

from billing import (
    views,
    views_chain,
    views_credits,
    views_invoices,
    views_methods,
    views_referrals,
    views_subscriptions,
    views_top_ups,
)

app_name = "billing"
urlpatterns = [
    path("billing/", views.home, name="home"),
    path("billing/top-up/", views.top_up, name="top_up"),
    path("billing/alerts/", views_top_ups.alerts, name="alerts"),
    path("billing/auto-top-up/", views_top_ups.show, name="auto_top_up"),
    path("billing/credits/", views_credits.show, name="credits"),
    path("billing/plan/", views_subscriptions.show, name="plan"),
    path("billing/plan/choose/", views_subscriptions.choose, name="choose_plan"),
    path("billing/plan/change/", views_subscriptions.change, name="change_plan"),
    path("billing/plan/cancel/", views_subscriptions.cancel, name="cancel_plan"),
    path("billing/plan/resume/", views_subscriptions.resume, name="resume_plan"),
    path("billing/invoices/", views_invoices.list_invoices, name="invoices"),
    path("billing/invoices/<str:invoice_id>.pdf", views_invoices.download, name="invoice_pdf"),
    path("billing/details/", views_invoices.details, name="details"),
    path("billing/methods/", views_methods.show, name="methods"),
    path("billing/methods/<str:card_id>/default/", views_methods.choose_default, name="method_default"),
    path("billing/methods/<str:card_id>/remove/", views_methods.remove, name="method_remove"),
    path("billing/usdc/", views_chain.show, name="usdc"),
    path("billing/usdc/message/", views_chain.new_message, name="usdc_message"),
    path("billing/usdc/link/", views_chain.link, name="usdc_link"),
    path("billing/usdc/faucet/", views_chain.faucet, name="usdc_faucet"),
    path("billing/usdc/withdraw/", views_chain.withdraw, name="usdc_withdraw"),
    path("billing/usdc/wallets/<str:wallet_id>/unlink/", views_chain.unlink, name="usdc_unlink"),
    path("billing/usdc/withdrawals/<str:withdrawal_id>/cancel/", views_chain.cancel, name="usdc_cancel"),
    path("billing/referrals/", views_referrals.show, name="referrals"),
    path("r/<slug:code>/", views_referrals.follow, name="referral_link"),
    path("billing/return/<str:payment_id>/", views.returned, name="return"),
    path("billing/receipts/<str:payment_id>/", views.receipt, name="receipt"),
]
