"""PayPal's error envelope, `{name, message, debug_id, details: [{issue, description}], links}`, and its wording."""

from __future__ import annotations

import secrets
from typing import Any

from sandbox.wire import Json

NAMES = {
    400: ("INVALID_REQUEST", "Request is not well-formed, syntactically incorrect, or violates schema."),
    401: (
        "AUTHENTICATION_FAILURE",
        "Authentication failed due to missing authorization header, or invalid authentication credentials.",
    ),
    404: ("RESOURCE_NOT_FOUND", "The specified resource does not exist."),
    405: ("METHOD_NOT_SUPPORTED", "The server does not implement the requested HTTP method."),
    422: (
        "UNPROCESSABLE_ENTITY",
        "The requested action could not be performed, semantically incorrect, or failed business validation.",
    ),
    429: ("RATE_LIMIT_REACHED", "Too many requests. Blocked due to rate limiting."),
    500: ("INTERNAL_SERVER_ERROR", "An internal server error has occurred."),
}
ISSUES = {
    "MALFORMED_REQUEST_JSON": "The request JSON is not well formed.",
    "MISSING_REQUIRED_PARAMETER": "A required parameter is missing.",
    "INVALID_PARAMETER_SYNTAX": "The value of a field does not conform to the expected format.",
    "INVALID_PARAMETER_VALUE": "A parameter value is not valid.",
    "INVALID_STRING_LENGTH": "The value of a field is either too short or too long",
    "INVALID_RESOURCE_ID": "Specified resource ID does not exist. Please check the resource ID and try again.",
    "INVALID_CURRENCY_CODE": "Currency code is invalid or is not currently supported. Please refer "
    "https://developer.paypal.com/api/rest/reference/currency-codes/ for list of supported currency codes.",
    "CANNOT_BE_ZERO_OR_NEGATIVE": "Must be greater than zero. If the currency supports decimals, only two decimal "
    "place precision is supported.",
    "DECIMAL_PRECISION": "If the currency supports decimals, only two decimal place precision is supported.",
    "AMOUNT_MISMATCH": "Should equal item_total + tax_total + shipping + handling + insurance - shipping_discount "
    "- discount.",
    "MAX_VALUE_EXCEEDED": "Should be less than or equal to 999999999999999.99.",
    "DUPLICATE_REFERENCE_ID": "`reference_id` must be unique if multiple `purchase_unit` are provided.",
    "DUPLICATE_INVOICE_ID": "Duplicate Invoice ID detected. To avoid a potential duplicate transaction your account "
    "setting requires that Invoice Id be unique for each transaction.",
    "ORDER_NOT_APPROVED": "Payer has not yet approved the Order for payment. Please redirect the payer to the "
    "'rel':'approve' url returned as part of the HATEOAS links within the Create Order call or provide a valid "
    "`payment_source` in the request.",
    "ORDER_ALREADY_CAPTURED": "Order already captured.If 'intent=CAPTURE' only one capture per order is allowed.",
    "INSTRUMENT_DECLINED": "The instrument presented  was either declined by the processor or bank, or it can't be "
    "used for this payment.",
    "CAPTURE_FULLY_REFUNDED": "The capture has already been fully refunded",
    "REFUND_CAPTURE_CURRENCY_MISMATCH": "Refund must be in the same currency as the capture",
    "REFUND_AMOUNT_EXCEEDED": "The refund amount must be less than or equal to the capture amount that has not yet "
    "been refunded.",
    "DUPLICATE_RESOURCE_IDENTIFIER": "The server has found a duplicate of the resource that was to be created.",
    "PLAN_PRODUCT_NOT_COMPATIBLE": "The new plan should belong to the product of the present one.",
    "SUBSCRIPTION_CANNOT_BE_ACTIVATED": "Subscription cannot be activated after payment failure threshold has reached.",
    "ZERO_OUTSTANDING_BALANCE": "Current outstanding balance should be greater than zero.",
    "AMOUNT_GREATER_THAN_OUTSTANDING_BALANCE": "The capture amount can not be greater than the current outstanding "
    "balance.",
    "TRANSACTION_ALREADY_REFUNDED": "Refund refused, the transaction has been refunded before.",
    "REFUND_EXCEEDED_TRANSACTION_AMOUNT": "Refund refused, the amount is more than is left of the transaction.",
    "DUPLICATE_REQUEST_ID": "The value of PayPal-Request-Id header has already been used with another request.",
}


class Problem(Exception):
    """A refusal in PayPal's words. `field` is a JSON pointer into the request's body; `text` its sentence, where that
    depends on more than the issue."""

    sentences = ISSUES

    def __init__(self, status: int, issue: str, *, field: str = "", value: str = "", text: str = "") -> None:
        super().__init__(issue)
        self.status = status
        self.issue = issue
        self.field = field
        self.value = value
        self.text = text

    def answer(self) -> Json:
        detail: dict[str, Any] = {
            "issue": self.issue,
            "description": self.text or self.sentences.get(self.issue, self.issue),
        }
        if self.field:
            detail |= {"field": self.field, "value": self.value, "location": "body"}
        return envelope(self.status, [detail])


class BillingProblem(Problem):
    """The API of subscriptions has sentences of its own."""

    sentences = ISSUES | {
        "MISSING_REQUIRED_PARAMETER": "A required field is missing.",
        "INVALID_PARAMETER_VALUE": "The value of a field is invalid.",
        "INVALID_PARAMETER_SYNTAX": "The value of a field does not conform to the expected format.",
        "INVALID_STRING_MAX_LENGTH": "The value of a field is too long.",
    }


def envelope(status: int, details: list[dict[str, Any]] | None = None) -> Json:
    name, message = NAMES[status]
    issue = details[0]["issue"] if details else name
    body: dict[str, Any] = {"name": name, "message": message, "debug_id": secrets.token_hex(7)[:13]}
    if details:
        body["details"] = details
    body["links"] = [
        {
            "href": f"https://developer.paypal.com/docs/api/orders/v2/#error-{issue}",
            "rel": "information_link",
            "method": "GET",
        }
    ]
    return Json(body, status)
