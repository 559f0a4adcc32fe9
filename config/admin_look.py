"""How Django's admin looks: our colours (static/css/tokens.css), our mark, the mode at the top of each page."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

# The neutrals and the accent of the tokens in unfold's steps: paper and ink at the ends, the two themes' accents
# (500 on light, 400 on dark) in the middle.
NEUTRALS = {
    "50": "oklch(0.985 0.003 250)",
    "100": "oklch(0.965 0.005 250)",
    "200": "oklch(0.91 0.007 250)",
    "300": "oklch(0.84 0.01 255)",
    "400": "oklch(0.75 0.015 255)",
    "500": "oklch(0.52 0.022 262)",
    "600": "oklch(0.46 0.022 262)",
    "700": "oklch(0.36 0.018 262)",
    "800": "oklch(0.27 0.016 262)",
    "900": "oklch(0.215 0.014 262)",
    "950": "oklch(0.175 0.012 262)",
}
ACCENT = {
    "50": "oklch(0.975 0.012 268)",
    "100": "oklch(0.955 0.022 268)",
    "200": "oklch(0.9 0.05 268)",
    "300": "oklch(0.83 0.09 268)",
    "400": "oklch(0.74 0.13 268)",
    "500": "oklch(0.62 0.17 268)",
    "600": "oklch(0.5 0.19 268)",
    "700": "oklch(0.45 0.18 268)",
    "800": "oklch(0.39 0.15 268)",
    "900": "oklch(0.33 0.11 268)",
    "950": "oklch(0.25 0.07 268)",
}
UNFOLD: dict[str, Any] = {
    "SITE_TITLE": gettext_lazy("GPUBroker staff"),
    "SITE_HEADER": "GPUBroker",
    "SITE_SUBHEADER": gettext_lazy("Staff"),
    "SITE_URL": "/",
    "SITE_ICON": lambda request: static("img/mark.svg"),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("img/mark.svg")}],
    "COLORS": {"base": NEUTRALS, "primary": ACCENT},
    "BORDER_RADIUS": "8px",
    "SHOW_LANGUAGES": True,
    "ENVIRONMENT": "config.admin_look.mode_label",
    "DASHBOARD_CALLBACK": "console.staff.admin_dashboard",
    "SIDEBAR": {"show_search": True},
}


def mode_label(request: HttpRequest) -> list[str]:
    """The label and its tone: money of the sandbox is never mistaken for real money."""
    return [_("Sandbox"), "warning"] if settings.SANDBOX else [_("Live"), "danger"]


# Unfold speaks no Spanish: its words that staff meet each day are in our catalogue.
UNFOLDS_OWN_WORDS = (
    gettext_noop("All applications"),
    gettext_noop("Apply Filters"),
    gettext_noop("Clear all filters"),
    gettext_noop("Filters"),
    gettext_noop("General"),
    gettext_noop("Go back"),
    gettext_noop("No results found"),
    gettext_noop("No results matching your query"),
    gettext_noop("Objects"),
    gettext_noop("Reset filters"),
    gettext_noop("Run the selected action"),
    gettext_noop("Search apps and models..."),
    gettext_noop("Select all rows"),
    gettext_noop("Show all"),
    gettext_noop("System"),
    gettext_noop("This page yielded into no results. Create a new item or reset your filters."),
    gettext_noop("Type to search"),
)
