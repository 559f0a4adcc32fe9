"""The API: every app's router under /api/v2/, one error shape, one sign-in."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from accounts.auth import api_auth
from lib.errors import AppError

api = NinjaAPI(
    title="GPUBroker",
    version="2",
    description="Find, rent, supervise and pay for GPUs.",
    auth=api_auth,
    docs_url=None,
    openapi_url="openapi.json",
    urls_namespace="api",
)


@api.exception_handler(AppError)
def answer_app_error(request: HttpRequest, error: AppError) -> HttpResponse:
    answer = api.create_response(request, error.as_dict(), status=error.status)
    if retry_after := getattr(error, "retry_after_s", None):
        answer["Retry-After"] = str(retry_after)
    return answer


@api.exception_handler(AuthenticationError)
def answer_not_signed_in(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    return answer_app_error(request, AppError(_("Sign in first."), code="unauthenticated", status=401))


@api.exception_handler(ValidationError)
def answer_invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    fields: dict[str, list[str]] = {}
    for problem in error.errors:
        place = [str(part) for part in problem["loc"] if part not in {"body", "query", "path", "header", "data"}]
        fields.setdefault(".".join(place) or "body", []).append(problem["msg"])
    wrong = AppError(_("Some values are not valid."), code="invalid", status=422, fields=fields)
    return answer_app_error(request, wrong)


@api.exception_handler(HttpError)
def answer_http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    return answer_app_error(request, AppError(str(error), code="bad_request", status=error.status_code))


for app in ("accounts", "marketplace", "pods", "billing", "catalyst", "enrollment", "console"):
    # While the apps grow side by side, those that have an API already are taken.
    if find_spec(f"{app}.api"):
        api.add_router("", import_module(f"{app}.api").router)
