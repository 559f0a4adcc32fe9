"""The reader's theme: a cookie that the server reads, so that no page flashes in the wrong colours."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

COOKIE = "theme"
YEAR_S = 365 * 24 * 3600


class Theme(models.TextChoices):
    SYSTEM = "system", _("Same as my device")
    LIGHT = "light", _("Light")
    DARK = "dark", _("Dark")


def theme_of(request: HttpRequest) -> Theme:
    chosen = request.COOKIES.get(COOKIE, "")
    return Theme(chosen) if chosen in Theme.values else Theme.SYSTEM


@require_POST
def choose_theme(request: HttpRequest) -> HttpResponse:
    """Keep the theme and go back. Anything unknown counts as the device's own."""
    following = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(following, allowed_hosts={request.get_host()}):
        following = "/"
    chosen = request.POST.get("theme", "")
    answer = HttpResponseRedirect(following)  # `redirect` would look for a page of this name
    answer.set_cookie(
        COOKIE,
        chosen if chosen in Theme.values else Theme.SYSTEM,
        max_age=YEAR_S,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
    )
    return answer
