from django.urls import path

from marketplace import views

app_name = "marketplace"
urlpatterns = [
    path("", views.show_landing, name="landing"),
    path("market/", views.show_market, name="market"),
    path("market/offers.csv", views.export_offers, name="export"),
    path("offers/<str:offer_id>/", views.show_offer, name="offer"),
    path("gpus/", views.list_gpus, name="gpus"),
    path("gpus/<slug:slug>/", views.show_gpu, name="gpu"),
    path("providers/", views.list_providers, name="providers"),
]
