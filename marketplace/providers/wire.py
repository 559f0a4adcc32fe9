"""How adapters speak HTTP and read strangers' answers: one call, one table of errors, one strict reader of rows."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Container, Iterable, Mapping
from decimal import Decimal
from typing import Any, NoReturn
from urllib.parse import quote

from lib.http import Answer, HttpFailed, call, read_stream
from marketplace.providers.base import (
    Account,
    BadAnswer,
    BadKey,
    Instance,
    LaunchRequest,
    NoFunds,
    ProviderError,
    RateLimited,
    RawOffer,
    Rejected,
    Unreachable,
)

LISTING_S = 20.0
CALL_S = 10.0
STREAM_QUIET_S = 2.0
SIX_PLACES = Decimal("0.000001")
DEAREST_PER_HOUR = Decimal(10_000)
LARGEST_BILL = Decimal(100_000_000)
VRAM_GB = (1.0, 1024.0)
MAX_GPUS = 1024
LOG_LINE = 10_000

log = logging.getLogger(__name__)


class RefusedRow(BadAnswer):
    """A row that cannot be what it claims: not offered to anybody, counted and shown in provider health.

    Outside a listing it is what it is: a bad answer.
    """


class NotThere(Rejected):
    """The provider, in its own words, knows no such instance. A bare 404 of something in between is not that."""

    code = "not_there"


class Client:
    """One provider's HTTP. Subclasses say how it authenticates and how it words its errors."""

    service = ""

    def __init__(self, account: Account, live_url: str) -> None:
        if not (account.key.isascii() and account.key.isprintable()):
            raise BadKey(f"{self.service}: the key holds characters that no key has.")
        self._key = account.key
        self.base_url = (account.base_url or live_url).rstrip("/")

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}

    def explain(self, answer: Answer) -> str:
        """The provider's own reason in a failed answer. Its text is a stranger's: see `tell`."""
        raise NotImplementedError

    def recognise(self, answer: Answer, reason: str) -> ProviderError | None:
        """The error behind a status that the general table would misread."""
        return None

    def get(self, path: str, **options: Any) -> Any:
        return self.decode(self.call("GET", path, **options))

    def call(
        self,
        method: str,
        path: str,
        *,
        json_body: Any = None,
        params: Mapping[str, Any] | None = None,
        listing: bool = False,
        allow: Container[int] = (),
    ) -> Answer:
        """An answer that is 2xx or in `allow`; everything else is raised as a ProviderError."""
        try:
            answer = call(
                self.service,
                method,
                self.base_url + path,
                headers=self.headers(),
                params=params,
                json_body=json_body,
                timeout_s=LISTING_S if listing else CALL_S,
            )
        except HttpFailed as failure:
            self._raise_failed(failure)
        if not answer.ok and answer.status not in allow:
            raise self.error(answer)
        return answer

    def stream(self, path: str, *, params: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
        """What an event stream holds by now (see `lib.http.read_stream`)."""
        try:
            answer = read_stream(
                self.service,
                self.base_url + path,
                headers={**self.headers(), **headers},
                params=params,
                quiet_s=STREAM_QUIET_S,
            )
        except HttpFailed as failure:
            self._raise_failed(failure)
        if not answer.ok:
            raise self.error(answer)
        return answer

    def decode(self, answer: Answer) -> Any:
        """JSON with Decimal for every fraction, so that no price is ever a float. NaN and Infinity are refused."""
        try:
            return json.loads(answer.body, parse_float=Decimal, parse_constant=_no_constant)
        except (ValueError, RecursionError, ArithmeticError):
            raise BadAnswer(f"{self.service}: the answer is not JSON.") from None

    def error(self, answer: Answer) -> ProviderError:
        try:
            reason = self.tell(self.explain(answer))
        except BadAnswer:
            is_plain = answer.headers.get("Content-Type", "").startswith("text/plain")
            reason = self.tell(answer.body[:300].decode(errors="replace")) if is_plain else ""
        message = f"{self.service}: {reason or f'HTTP {answer.status}'}"
        if known := self.recognise(answer, reason):
            return known
        if answer.status == 401 or (answer.status == 403 and reason):
            return BadKey(message)
        if answer.status == 402:
            return NoFunds(message)
        if answer.status == 429:
            return RateLimited(message, retry_after_s=_retry_after(answer))
        if answer.status >= 500:
            return Unreachable(message)
        if answer.status < 400 or not reason:
            return BadAnswer(message)
        return NotThere(message) if answer.status == 404 else Rejected(message)

    def tell(self, text: str) -> str:
        """A stranger's sentence made fit for logs and pages: printable, short, without the key."""
        return (printable(text).replace(self._key, "…") if self._key else printable(text))[:300].strip()

    def _raise_failed(self, failure: HttpFailed) -> NoReturn:
        if failure.reason in ("too_large", "not_json"):
            raise BadAnswer(f"{self.service}: the answer is {failure.reason.replace('_', ' ')}.") from None
        raise Unreachable(f"{self.service}: no answer ({failure.reason}).") from None


def _no_constant(word: str) -> NoReturn:
    raise ValueError(word)


def _retry_after(answer: Answer) -> float:
    text = answer.headers.get("Retry-After", "")
    return min(max(float(text), 1.0), 3600.0) if text.isascii() and text.isdigit() else 5.0


def printable(text: str) -> str:
    """Without control characters and lone surrogates, which neither the database nor a terminal should get."""
    return "".join(character if character.isprintable() else " " for character in text)


def path_part(ref: str) -> str:
    """A provider's reference as one segment of a path: it cannot leave its place."""
    return quote(ref, safe="")


class Row:
    """A JSON object of a stranger. What an offer needs is refused when wrong; what is nice to know becomes None."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise RefusedRow("not an object")
        self._value = value

    def child(self, key: str) -> Row:
        return Row(self._value.get(key))

    def maybe_child(self, key: str) -> Row | None:
        """None for null; a key that is missing is not null."""
        if key not in self._value:
            raise RefusedRow(f"{key} is missing")
        return self.child(key) if self.has(key) else None

    def has(self, key: str) -> bool:
        return self._value.get(key) is not None

    def pairs(self) -> list[tuple[str, object]]:
        return list(self._value.items())

    def items(self, key: str) -> list[object]:
        value = self._value.get(key)
        if not isinstance(value, list):
            raise RefusedRow(f"{key} is not a list")
        return value

    def text(self, key: str, *, limit: int = 200, optional: bool = False) -> str:
        value = self._value.get(key)
        if optional and value is None:
            return ""
        if not isinstance(value, str) or not value.isprintable() or not (optional or value.strip()):
            raise RefusedRow(f"{key} is not a text")
        if len(value) > limit:
            raise RefusedRow(f"{key} is longer than {limit}")
        return value

    def note(self, key: str, *, limit: int = 300, required: bool = False) -> str:
        """Words that somebody else chose, cut and cleaned where `text` would refuse. Required: present, maybe null."""
        if required and key not in self._value:
            raise RefusedRow(f"{key} is missing")
        value = self._value.get(key)
        return printable(value[:limit]).rstrip() if isinstance(value, str) else ""

    def number(self, key: str, *, low: float, high: float) -> float:
        return float(self._figure(key, low, high))

    def maybe(self, key: str, *, low: float = 0.0, high: float = 1e9) -> float | None:
        try:
            return self.number(key, low=low, high=high)
        except RefusedRow:
            return None

    def count(self, key: str, *, low: int = 1, high: int = MAX_GPUS) -> int:
        figure = self._figure(key, low, high)
        if figure != int(figure):
            raise RefusedRow(f"{key} is not whole")
        return int(figure)

    def ref(self, key: str) -> str:
        """An id that is a number at some providers and a text at others."""
        if isinstance(self._value.get(key), str):
            return self.text(key)
        return str(self.count(key, low=0, high=2**63))

    def price(self, key: str, *, highest: Decimal = DEAREST_PER_HOUR) -> Decimal:
        """USD, above zero, to six places."""
        return Decimal(self._figure(key, SIX_PLACES, highest)).quantize(SIX_PLACES)

    def maybe_price(self, key: str) -> Decimal | None:
        """A price that may be nothing or untold; a negative one is refused."""
        if self._value.get(key) is None:
            return None
        return Decimal(self._figure(key, 0, DEAREST_PER_HOUR)).quantize(SIX_PLACES)

    def amount(self, key: str) -> Decimal:
        """USD of a bill, to six places; negative where the provider gives something back."""
        return Decimal(self._figure(key, -LARGEST_BILL, LARGEST_BILL)).quantize(SIX_PLACES)

    def _figure(self, key: str, low: float | Decimal, high: float | Decimal) -> int | Decimal:
        value = self._value.get(key)
        if isinstance(value, bool) or not isinstance(value, int | Decimal) or not low <= value <= high:
            raise RefusedRow(f"{key} is not between {low:g} and {high:g}")
        return value

    def flag(self, key: str) -> bool:
        value = self._value.get(key)
        if not isinstance(value, bool):
            raise RefusedRow(f"{key} is not true or false")
        return value


def is_too_dear(instance: Instance, request: LaunchRequest) -> bool:
    """Whether an instance costs more than the request allows, both to six places. An untold price passes."""
    if instance.price_per_hour is None or request.max_price_per_hour is None:
        return False
    return instance.price_per_hour > request.max_price_per_hour.quantize(SIX_PLACES)


def read_offers(
    service: str, items: Iterable[object], parse: Callable[[Row], Iterable[RawOffer]], refused: list[str]
) -> list[RawOffer]:
    """The offers of a listing; reasons of refused rows go to `refused`. A listing of nothing but refusals is raised."""
    offers: dict[tuple[str, str], RawOffer] = {}
    for item in items:
        try:
            for offer in parse(Row(item)):
                if offers.setdefault((offer.ref, offer.kind), offer) is not offer:
                    raise RefusedRow(f"{offer.ref[:60]} is named twice")
        except RefusedRow as refusal:
            refused.append(str(refusal))
    if refused and not offers:
        raise BadAnswer(f"{service}: no row of the listing could be read: {refused[0]}.")
    if refused:
        log.warning("%s: %d rows refused, first: %s", service, len(refused), refused[0])
    return list(offers.values())


def read_instances(service: str, items: Iterable[object], parse: Callable[[Row], Instance]) -> list[Instance]:
    """All instances or an error: an unreadable one must never look like an instance that is gone."""
    try:
        return [parse(Row(item)) for item in items]
    except RefusedRow as refusal:
        raise BadAnswer(f"{service}: an instance could not be read: {refusal}.") from None
