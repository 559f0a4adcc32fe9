"""Routes of pages, the API, the admin and the operators' endpoints."""

from __future__ import annotations

from importlib.util import find_spec

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from config import operations
from config.api import api
from config.appearance import choose_theme

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("api/v2/", api.urls),
    path("health", operations.health),
    path("readiness", operations.readiness),
    path("metrics", operations.metrics),
    path("theme/", choose_theme, name="choose-theme"),
    path("i18n/", include("django.conf.urls.i18n")),
    path("account/", include("allauth.urls")),
]
for app in ("accounts", "notifications", "marketplace", "pods", "billing", "catalyst", "enrollment", "console"):
    # While the apps grow side by side, those that have pages already are taken.
    if find_spec(f"{app}.urls"):
        urlpatterns.append(path("", include(f"{app}.urls")))

handler400 = "config.errors.bad_request"
handler403 = "config.errors.forbidden"
handler404 = "config.errors.not_found"
handler429 = "config.errors.rate_limited"  # looked up by allauth
handler500 = "config.errors.server_error"
