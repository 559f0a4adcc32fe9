"""What every payment service can do for us. Adapters translate; they know no rows and move no money of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Protocol

from django.utils.translation import gettext as _

from lib.errors import AppError

SubscriptionState = Literal["waiting", "active", "past_due", "ended"]
InvoiceState = Literal["paid", "open", "other"]
# `returned`: it had left, and has come back since.
PayoutState = Literal["pending", "paid", "failed", "returned"]
OrderStatus = Literal["open", "approved", "completed", "voided"]
# `refunded`: it was completed, and some or all of it went back since.
CaptureStatus = Literal["completed", "pending", "declined", "refunded"]
RefundStatus = Literal["completed", "pending", "failed"]
# `warning_…`: the bank only asks. Those of `billing.states.ChargebackStatus`.
ChargebackState = Literal[
    "warning_needs_response",
    "warning_under_review",
    "warning_closed",
    "needs_response",
    "under_review",
    "won",
    "lost",
]


class ServiceDown(AppError):
    """No answer, or one that makes no sense. Whether the service acted is unknown: ask it again."""

    status = 503
    code = "payment_service_unavailable"

    def __init__(self, detail: str) -> None:
        super().__init__(_("The payment service is not answering properly. Try again in a moment."))
        self.detail = detail


class Unclear(ServiceDown):
    """Whether the service acted is unknown, and it may never say: a person looks there."""


class Refused(Exception):
    """The service has understood and does not do it. `issue` is its own name for the reason."""

    def __init__(self, issue: str) -> None:
        super().__init__(issue)
        self.issue = issue


class Gone(Exception):
    """The service does not know this order (any more)."""


class BadSignature(Exception):
    """This notification is not from the service."""


@dataclass(frozen=True, slots=True)
class NewOrder:
    """`reference` is our payment; the service shows it back to us with everything that it says of the order."""

    reference: str
    amount: Decimal
    currency: str
    description: str
    return_url: str
    cancel_url: str
    # A saved card that pays at once, where the service has them; `off_session`: nobody is there to be asked.
    customer_ref: str = ""
    card_ref: str = ""
    off_session: bool = False


@dataclass(frozen=True, slots=True)
class Capture:
    """`reason` is the service's own name for why it was declined."""

    ref: str
    status: CaptureStatus
    amount: Decimal
    currency: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    ref: str
    status: OrderStatus
    reference: str
    amount: Decimal
    currency: str
    approve_url: str = ""
    payer_email: str = ""
    captures: tuple[Capture, ...] = ()
    # The time that it pays, of the first month of a plan that the service renews.
    period: tuple[datetime, datetime] | None = None


@dataclass(frozen=True, slots=True)
class Refund:
    """Money of a capture that goes back. `reference` is our refund, when it was asked for here."""

    ref: str
    capture_ref: str
    status: RefundStatus
    amount: Decimal
    currency: str
    reference: str = ""


@dataclass(frozen=True, slots=True)
class RemoteChargeback:
    """A capture that the payer's bank disputes. The service has taken `withdrawn` and a `fee` from us for it so far,
    and given `returned` of it back."""

    ref: str
    capture_ref: str
    state: ChargebackState
    reason: str
    amount: Decimal
    currency: str
    opened_at: datetime
    due_at: datetime | None
    asked_at: datetime  # before the question went out: what happened since, it may not say
    withdrawn: Decimal = Decimal(0)
    returned: Decimal = Decimal(0)
    fee: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Event:
    """A notification whose signature was checked. It says what to look at, never what is true."""

    ref: str
    kind: str
    order_ref: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Card:
    """What a service shows of a card that it keeps."""

    ref: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class NewSubscription:
    """`reference` is our subscription, `payment` our payment of its first month; the card, where one is charged."""

    reference: str
    payment: str
    price_ref: str
    return_url: str
    cancel_url: str
    customer_ref: str = ""
    card_ref: str = ""


@dataclass(frozen=True, slots=True)
class RemoteSubscription:
    """A plan (`plan`, for `amount` a month) that a service renews.

    `intent_ref` is the order of its newest invoice; `settled`: that one is paid. The period of one that waits for its
    customer, at `approve_url`, may not be known yet.
    """

    ref: str
    item_ref: str
    state: SubscriptionState
    plan: str
    amount: Decimal
    currency: str
    period_start: datetime | None
    period_end: datetime | None
    ends_with_period: bool
    settled: bool
    intent_ref: str = ""
    approve_url: str = ""


@dataclass(frozen=True, slots=True)
class RemoteInvoice:
    """What a service's own subscription asks for. `reference`: our payment, for a change that we asked for."""

    ref: str
    state: InvoiceState
    reason: str
    amount: Decimal
    currency: str
    order_ref: str
    tried: bool
    period_start: datetime
    period_end: datetime
    reference: str = ""


@dataclass(frozen=True, slots=True)
class PreviewLine:
    """`unused`: what is left of the month at the price of before, which comes back; `rest`: the same at the new one."""

    kind: Literal["unused", "rest", "other"]
    amount: Decimal
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change costs at once, line by line."""

    amount: Decimal
    currency: str
    lines: tuple[PreviewLine, ...]


@dataclass(frozen=True, slots=True)
class NewPayout:
    """Money of ours for an owner. `reference` is our payout; `destination`, what the service knows the owner by;
    `first_asked`, when it was asked for the first time, should it have been."""

    reference: str
    destination: str
    amount: Decimal
    currency: str
    note: str
    first_asked: datetime | None = None


@dataclass(frozen=True, slots=True)
class RemotePayout:
    """`reason` is the service's own name for why it failed or came back; `returned`, how much of the sum has."""

    ref: str
    reference: str
    state: PayoutState
    amount: Decimal
    currency: str
    reason: str = ""
    returned: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class PayeeAccount:
    """An owner's account at the service. `missing` are the service's names of what it still wants to know of them."""

    ref: str
    ready: bool
    missing: tuple[str, ...] = ()


class Service(Protocol):
    """All calls go out: none inside a transaction. Each raises ServiceDown; those that change take a `request_id`,
    by which the service knows a repetition."""

    slug: str

    def create(self, order: NewOrder, *, request_id: str) -> Order: ...

    def fetch(self, order_ref: str) -> Order:
        """Raises Gone."""

    def capture(self, order_ref: str, *, request_id: str) -> Order:
        """Take the money of an approved order. One that is captured already, or not approved, is answered as it is.

        Raises Refused when the service will not take it, and Gone.
        """

    def cancel(self, order_ref: str) -> Order:
        """Nothing more can be paid by it, where that is possible: it is answered as it is then. Raises Gone."""

    def refund(self, capture_ref: str, amount: Decimal, currency: str, *, reference: str, request_id: str) -> Refund:
        """Give money of a capture back. `reference` is shown back to us. Raises Refused when it is more than is left,
        Gone."""

    def fetch_refund(self, refund_ref: str) -> Refund:
        """Raises Gone."""

    def find_order(self, capture_ref: str) -> str:
        """The order that a capture belongs to; empty when it was made without one. Raises Gone."""

    def parse_event(self, headers: Mapping[str, str], raw: bytes) -> Event:
        """Raises BadSignature for what the service did not send."""


class ListingService(Protocol):
    """Lists what it has, so that money which only the service knows of is found. All calls go out: ServiceDown."""

    def orders_since(self, moment: datetime, *, until: datetime | None = None) -> Iterator[Order]:
        """All orders that were made from `moment` on, and before `until`; whoever made them, in any state."""


class ChargebackService(Protocol):
    """Tells what payers' banks take back, and speaks to them for us. All calls go out, and raise ServiceDown."""

    def fetch_chargeback(self, ref: str) -> RemoteChargeback:
        """Raises Gone."""

    def chargebacks_since(self, moment: datetime) -> Iterator[RemoteChargeback]:
        """Those that were opened from `moment` on."""

    def send_evidence(self, ref: str, evidence: Mapping[str, str], *, request_id: str) -> RemoteChargeback:
        """To the bank, once: after it nothing can be added. Raises Refused, Gone."""

    def accept_chargeback(self, ref: str, *, request_id: str) -> RemoteChargeback:
        """Give in. Raises Refused, such as when it is decided, and Gone."""


class SubscriptionService(Protocol):
    """Renews plans: it collects each month from the customer's default card (`by_card`), or from their account there,
    in which they agree to each change too. All calls go out, and raise ServiceDown."""

    by_card: bool

    def price(self, plan: str, name: str, amount: Decimal, currency: str) -> str:
        """The service's name of a plan's price; made when it is needed for the first time."""

    def subscribe(self, new: NewSubscription, *, request_id: str) -> RemoteSubscription:
        """Begun, with a first invoice that nobody has paid yet: `Service.capture` of its order takes the money.

        Raises Refused, Gone.
        """

    def fetch_subscription(self, ref: str) -> RemoteSubscription:
        """Raises Gone."""

    def invoices(self, ref: str) -> list[RemoteInvoice]:
        """Of a subscription, the newest first, two years of them."""

    def change_next(self, subscription: RemoteSubscription, price_ref: str, *, return_url: str) -> str:
        """Another price from the next period on. Answers where the customer has to agree to it; nothing: they need not.
        Raises Refused, Gone."""

    def end_with_period(self, ref: str, ends: bool, *, comment: str = "", feedback: str = "") -> None:
        """Raises Refused, Gone."""

    def end(self, ref: str) -> None:
        """At once; what is not paid is not asked for any more."""

    def collect(self, invoice: RemoteInvoice, *, card_ref: str, request_id: str) -> None:
        """Try the card, or their account, for an open invoice. Raises Refused."""


class ProratingService(SubscriptionService, Protocol):
    """Changes a price in the middle of a month too."""

    def preview(self, subscription: RemoteSubscription, price_ref: str, *, at: datetime) -> Preview:
        """What `change_now` would take."""

    def change_now(
        self, subscription: RemoteSubscription, price_ref: str, *, at: datetime, reference: str, request_id: str
    ) -> None:
        """Another price from `at` on, the difference collected at once, or nothing is changed: Refused."""


class PayoutService(Protocol):
    """Pays owners. All calls go out, and raise ServiceDown."""

    def send_payout(self, payout: NewPayout) -> RemotePayout:
        """Once for each `reference`, however often and however much later it is asked for. Raises Refused, Unclear."""

    def fetch_payout(self, ref: str) -> RemotePayout:
        """Raises Gone."""


class PayeeService(Protocol):
    """Knows the owners themselves: asks them who they are, before it pays them. All calls go out: ServiceDown."""

    def open_payee(self, *, reference: str, email: str, country: str, request_id: str) -> str:
        """The service's name of a new account. Raises Refused, such as for a country that it does not pay."""

    def onboarding_url(self, ref: str, *, return_url: str, refresh_url: str) -> str:
        """A page of the service, good once and for minutes. Raises Gone."""

    def fetch_payee(self, ref: str) -> PayeeAccount:
        """Raises Gone."""
