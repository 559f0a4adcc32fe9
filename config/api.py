"""The API: every app's router under /api/v2/, one error shape, one sign-in."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.openapi.docs import Redoc

import accounts.api
import billing.api
import billing.api_chain
import billing.api_credits
import billing.api_disputes
import billing.api_history
import billing.api_invoices
import billing.api_methods
import billing.api_payouts
import billing.api_referrals
import billing.api_subscriptions
import billing.api_top_ups
import catalyst.api
import console.api
import console.api_chargebacks
import console.api_disputes
import console.api_money
import console.api_refunds
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
    billing.api,
    billing.api_chain,
    billing.api_credits,
    billing.api_disputes,
    billing.api_history,
    billing.api_invoices,
    billing.api_methods,
    billing.api_payouts,
    billing.api_referrals,
    billing.api_subscriptions,
    billing.api_top_ups,
    catalyst.api,
    enrollment.api,
    console.api,
    console.api_chargebacks,
    console.api_disputes,
    console.api_money,
    console.api_refunds,
)
for module in ROUTES:
    api.add_router("", module.router)


def show_redoc(request: HttpRequest) -> HttpResponse:
    """The same description as `/api/v2/docs`, for reading."""
    return Redoc().render_page(request, api)
