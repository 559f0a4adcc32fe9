"""Every refusal answered in the caller's language: JSON to programs, a fragment to HTMX, a page to people."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent
from django.db import DataError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from lib.errors import AppError, Forbidden, Invalid, NotFound, TooMany

log = logging.getLogger(__name__)
API_PREFIX = "/api/"


class AppErrorMiddleware:
    """Turns an AppError that a page's view raises into its answer. The API has its own handler of the same."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = self.get_response(request)
        if answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED and wants_json(request):
            refusal = AppError(_("This address does not support this method."), code="method_not_allowed", status=405)
            return JsonResponse(refusal.as_dict(), status=405, headers={"Allow": answer.headers.get("Allow", "")})
        return answer

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        known = as_app_error(error)
        return error_answer(request, known) if known else None


def as_app_error(error: Exception) -> AppError | None:
    """The refusal that an exception amounts to; None for our own faults. The API's unexpected ones come here too."""
    if isinstance(error, AppError):
        return error
    if isinstance(error, RequestDataTooBig | TooManyFieldsSent):
        return AppError(_("The request is too large."), code="too_large", status=413)
    if isinstance(error, DataError | UnicodeEncodeError):
        # Signs that no text column takes (NUL, lone surrogates), numbers out of range: wrong input, whoever missed it.
        log.warning("input reached the database that it cannot hold", exc_info=error)
        return Invalid(_("Some values contain characters or numbers that cannot be stored."))
    return None


def error_answer(request: HttpRequest, error: AppError) -> HttpResponse:
    """The one answer to an AppError, whoever asked."""
    if wants_json(request):
        answer: HttpResponse = JsonResponse(error.as_dict(), status=error.status)
    elif error.status == 401:
        return _to_sign_in(request)
    elif is_htmx(request):
        answer = render(request, "errors/fragment.html", {"error": error}, status=error.status)
        # Beside the toasts, where it is announced; what the person was looking at stays.
        answer["HX-Retarget"] = "#toasts"
        answer["HX-Reswap"] = "beforeend"
    else:
        answer = render(request, "error.html", {"error": error}, status=error.status)
    if isinstance(error, TooMany):
        answer["Retry-After"] = str(error.retry_after_s)
    return answer


def wants_json(request: HttpRequest) -> bool:
    return request.path.startswith(API_PREFIX) or request.headers.get("Accept") == "application/json"


def is_htmx(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true"


def _to_sign_in(request: HttpRequest) -> HttpResponse:
    if is_htmx(request):
        page = request.headers.get("HX-Current-URL", "").removeprefix(settings.PUBLIC_URL)
        # Sign-in checks `next` against our own hosts, so that a forged header leads nowhere.
        query = urlencode({"next": page or "/"})
        return HttpResponse(status=401, headers={"HX-Redirect": f"{reverse('account_login')}?{query}"})
    following = request.get_full_path() if request.method == "GET" else "/"
    return redirect_to_login(following, reverse("account_login"))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_answer(request, AppError(_("The request could not be understood.")))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_answer(request, Forbidden(_("You are not allowed to do this.")))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_answer(request, NotFound(_("There is nothing at this address.")))


def server_error(request: HttpRequest) -> HttpResponse:
    """Our own fault; the frame of the page may be what is broken, so there is a bare answer behind it."""
    error = AppError(_("Something broke on our side. We have been notified."), code="server_error", status=500)
    try:
        return error_answer(request, error)
    except Exception:
        log.exception("the error page itself failed")
        return HttpResponse(error.message, status=500, content_type="text/plain; charset=utf-8")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    message = _("This form was open for too long, or came from another site. Reload the page and send it again.")
    return error_answer(request, AppError(message, code="csrf", status=403))


def locked_out(request: HttpRequest, *_credentials: object) -> HttpResponse:
    """What axes answers after too many wrong passwords for one account from one address."""
    seconds = int(settings.AXES_COOLOFF_TIME.total_seconds())
    message = _("Too many failed sign-ins. Try again in %(n)d minutes, or reset your password.") % {"n": seconds // 60}
    return error_answer(request, TooMany(message, retry_after_s=seconds))


def rate_limited(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """What allauth answers when its own limits are reached."""
    return error_answer(request, TooMany(_("Too many requests. Wait a minute and try again.")))
