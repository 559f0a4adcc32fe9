"""The API: every app's router under /api/v2/, one error shape, one sign-in."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.openapi.docs import Redoc

import accounts.api
import billing.api.chain
import billing.api.credits
import billing.api.disputes
import billing.api.history
import billing.api.invoices
import billing.api.methods
import billing.api.payments
import billing.api.payouts
import billing.api.referrals
import billing.api.subscriptions
import billing.api.top_ups
import catalyst.api
import console.api.chargebacks
import console.api.disputes
import console.api.money
import console.api.payouts
import console.api.refunds
import console.api.staff
import enrollment.api
import marketplace.api
import pods.api
import pods.api_job_estimates
import pods.api_spend_limits
from accounts.auth import api_auth
from lib.errors import AppError

api = NinjaAPI(
    title="GPUBroker",
    version="2",
    description="Find, rent, supervise and pay for GPUs.",
    auth=api_auth,
    docs_url="docs",
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


ROUTES = (
    accounts.api,
    marketplace.api,
    pods.api,
    pods.api_job_estimates,
    pods.api_spend_limits,
    billing.api.payments,
    billing.api.chain,
    billing.api.credits,
    billing.api.disputes,
    billing.api.history,
    billing.api.invoices,
    billing.api.methods,
    billing.api.payouts,
    billing.api.referrals,
    billing.api.subscriptions,
    billing.api.top_ups,
    catalyst.api,
    enrollment.api,
    console.api.staff,
    console.api.chargebacks,
    console.api.disputes,
    console.api.money,
    console.api.payouts,
    console.api.refunds,
)
for module in ROUTES:
    api.add_router("", module.router)


def show_redoc(request: HttpRequest) -> HttpResponse:
    """The same description as `/api/v2/docs`, for reading."""
    return Redoc().render_page(request, api)
