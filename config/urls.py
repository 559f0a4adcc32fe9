"""Routes of pages, the API, the admin and the operators' endpoints."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from config import operations
from config.api import api, show_redoc
from config.appearance import choose_theme

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/v2/redoc", show_redoc, name="redoc"),
    path("api/v2/", api.urls),
    path("health", operations.health),
    path("readiness", operations.readiness),
    path("metrics", operations.metrics),
    path("theme/", choose_theme, name="choose-theme"),
    path("i18n/", include("django.conf.urls.i18n")),
    path("account/", include("allauth.urls")),
    path("", include("accounts.urls")),
    path("", include("notifications.urls")),
    path("", include("marketplace.urls")),
    path("", include("billing.urls")),
    path("", include("enrollment.urls")),
    path("", include("console.urls")),
]

handler400 = "config.errors.bad_request"
handler403 = "config.errors.forbidden"
handler404 = "config.errors.not_found"
handler429 = "config.errors.rate_limited"  # looked up by allauth
handler500 = "config.errors.server_error"
