"""The provider contract: what every adapter answers, in which units, with which errors.

An adapter speaks one provider's wire protocol and nothing else: it reads no models, knows no prices of ours and is
called outside transactions only. `settings.PROVIDERS` maps a provider's slug to the adapter's dotted path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol, runtime_checkable

Kind = Literal["on_demand", "spot", "reserved"]
InstanceState = Literal["creating", "pulling", "booting", "running", "stopped", "exited", "failed", "gone"]
Capability = Literal["list", "rent", "stop", "spot", "logs", "metrics", "ssh"]


@dataclass(frozen=True, slots=True)
class RawOffer:
    """One rentable thing as a provider names it, before normalisation.

    `price_per_hour` is USD per hour for the whole offer (all its GPUs), without disk and traffic.
    """

    ref: str
    gpu_name: str
    gpu_count: int
    vram_gb: float
    price_per_hour: Decimal
    kind: Kind = "on_demand"
    form_factor: str = ""
    vcpus: float | None = None
    ram_gb: float | None = None
    disk_gb: float | None = None
    net_down_mbps: float | None = None
    net_up_mbps: float | None = None
    region: str = ""
    country: str = ""  # ISO 3166-1 alpha-2, empty when the provider does not tell
    tier: str = ""  # the provider's own class: secure, community, datacenter …
    reliability: float | None = None  # 0…1 as the provider states it
    verified: bool = True
    available_count: int | None = None  # None: the provider does not tell how many; 0: none now
    disk_price_gb_month: Decimal | None = None
    egress_price_gb: Decimal | None = None
    max_duration_s: int | None = None
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """What to start, and where. `key` makes creation idempotent: it is put into the provider's own name or tag."""

    key: str
    offer_ref: str
    image: str
    command: Sequence[str]
    env: Mapping[str, str]
    ports: Sequence[int]
    disk_gb: int
    gpu_name: str
    gpu_count: int
    kind: Kind
    region: str = ""
    max_price_per_hour: Decimal | None = None
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Instance:
    """A provider's instance as seen now. `state` is `gone` only when the provider says that it does not exist."""

    ref: str
    key: str
    state: InstanceState
    price_per_hour: Decimal | None = None
    ssh_host: str = ""
    ssh_port: int | None = None
    ssh_user: str = "root"
    ports: Mapping[int, str] = field(default_factory=dict)  # container port → host:port
    message: str = ""
    started_at: datetime | None = None
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    at: datetime
    text: str
    cursor: str


class ProviderError(Exception):
    """A provider refused or failed. `retry` tells whether the same call may succeed later."""

    code = "provider_error"
    retry = True

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class BadAnswer(ProviderError):
    """The answer was not what the provider's description promises: wrong type, HTML, too large, nonsense numbers."""

    code = "bad_answer"


class Unreachable(ProviderError):
    """No answer within the time limit, or a 5xx."""

    code = "unreachable"


class BadKey(ProviderError):
    code = "bad_key"
    retry = False


class RateLimited(ProviderError):
    code = "rate_limited"

    def __init__(self, message: str, *, retry_after_s: float = 5.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OfferGone(ProviderError):
    """The offer was taken or withdrawn: choose another."""

    code = "offer_gone"
    retry = False


class NoFunds(ProviderError):
    """The account at the provider has no balance."""

    code = "no_funds"
    retry = False


class Rejected(ProviderError):
    """The provider will never accept this request as it is."""

    code = "rejected"
    retry = False


@dataclass(frozen=True, slots=True)
class Account:
    """Whose key is used. Platform keys come from settings, customers' own from an encrypted column."""

    key: str
    base_url: str


class Provider(Protocol):
    """Every adapter. Methods that a provider lacks are left out and not named in `capabilities`.

    Timing: each call has a time limit of its own (listing 20 s, others 10 s) and returns or raises ProviderError.
    Idempotency: `create` may be called again with the same key; it first looks for an instance of that key.
    """

    slug: str
    name: str
    capabilities: frozenset[Capability]
    keyless_listing: bool

    def list_offers(self) -> list[RawOffer]: ...

    def create(self, request: LaunchRequest) -> Instance: ...

    def find(self, key: str) -> Instance | None: ...

    def get(self, ref: str) -> Instance: ...

    def list_instances(self) -> list[Instance]: ...

    def stop(self, ref: str) -> None: ...

    def start(self, ref: str) -> None: ...

    def terminate(self, ref: str) -> None: ...

    def logs(self, ref: str, *, after: str = "") -> list[LogLine]: ...


@dataclass(frozen=True, slots=True)
class BillLine:
    """What a provider charges for one of its instances within a time."""

    ref: str
    amount: Decimal
    currency: str
    since: datetime
    until: datetime


@runtime_checkable
class BillingProvider(Protocol):
    """An adapter whose provider tells by its API what each instance has cost."""

    def bill(self, since: datetime, until: datetime) -> list[BillLine]:
        """All lines of the days from midnight `since` to midnight `until` (UTC), which is not included."""
