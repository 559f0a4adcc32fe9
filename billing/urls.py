from django.urls import path

from billing import views

app_name = "billing"
urlpatterns = [
    path("billing/", views.home, name="home"),
    path("billing/top-up/", views.top_up, name="top_up"),
    path("billing/plan/", views.plan, name="plan"),
    path("billing/plan/choose/", views.choose_plan, name="choose_plan"),
    path("billing/return/<str:payment_id>/", views.returned, name="return"),
    path("billing/receipts/<str:payment_id>/", views.receipt, name="receipt"),
]
