"""What is searched for: parsed and checked once for pages, the API and saved addresses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, TypeVar

from django.utils.translation import gettext as _
from django_stubs_ext import StrOrPromise

from lib.errors import Invalid
from marketplace.gpus import parse_gpu_query
from marketplace.models import Offer, Provider
from marketplace.ranking import CRITERIA, DEFAULT_WEIGHTS

T = TypeVar("T")
SORTS = (
    "best", "price", "total", "gpu", "count", "vram", "performance", "value", "provider", "region", "reliability", "vcpus",
    "ram", "disk", "net", "fresh",
)  # fmt: skip
RANKINGS = ("reference", "topsis")
MAX_LIMIT = 200
MAX_PAGE = 100_000
MAX_WORDS = 20


@dataclass(frozen=True, slots=True)
class OfferQuery:
    """Prices are USD per GPU-hour with everything (disk and traffic as asked); sizes GB, net Mbit/s; None: no limit."""

    gpu: str = ""
    gpus: frozenset[str] | None = None  # what `gpu` means
    min_vram: float | None = None
    max_vram: float | None = None
    count: int | None = None
    min_count: int | None = None
    min_price: float | None = None
    max_price: float | None = None
    provider: tuple[str, ...] = ()
    not_provider: tuple[str, ...] = ()
    region: tuple[str, ...] = ()
    not_region: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    source: tuple[str, ...] = (Offer.Source.LIVE.value,)
    min_reliability: float | None = None  # 0…1
    min_vcpus: float | None = None
    min_ram: float | None = None
    min_disk: float | None = None
    min_net: float | None = None
    unverified: bool = False
    rentable: bool = False
    disk_gb: float = 0.0
    egress_gb: float = 0.0
    sort: str = "best"
    descending: bool | None = None  # None: the sort's own way
    ranking: str = "reference"
    weights: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    page: int = 1
    limit: int = 50

    def without(self, *names: str) -> OfferQuery:
        """The same query with these fields as they are by default."""
        plain = OfferQuery()
        names = (*names, "gpus") if "gpu" in names else names
        return replace(self, **{name: getattr(plain, name) for name in names})

    def as_params(self) -> list[tuple[str, str]]:
        """What the address of this query says: everything that differs from the default."""
        plain = OfferQuery()
        params = []
        for name in _IN_ADDRESS:
            value = getattr(self, name)
            if value != getattr(plain, name):
                params.append((name, _word(value)))
        if self.sort != plain.sort or self.descending is not None:
            params.append(("sort", f"{'-' if self.descending else ''}{self.sort}"))
        if self.weights != plain.weights:
            params += [(f"w_{name}", str(weight)) for name, weight in self.weights.items()]
        return params


_NOT_IN_ADDRESS = {"gpus", "sort", "descending", "weights"}
_IN_ADDRESS = [item.name for item in fields(OfferQuery) if item.name not in _NOT_IN_ADDRESS]
# Fields that narrow the result: each can be taken away.
FILTERS = (
    "gpu", "min_vram", "max_vram", "count", "min_count", "min_price", "max_price", "provider", "not_provider", "region",
    "not_region", "kind", "min_reliability", "min_vcpus", "min_ram", "min_disk", "min_net", "rentable",
)  # fmt: skip


def _word(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:g}" if isinstance(value, float) else str(value)


def parse_query(given: Mapping[str, Any]) -> OfferQuery:
    """From strings of an address or typed values of the API. Raises Invalid with every field that is wrong."""
    reader = _Reader(given)
    values: dict[str, Any] = {"gpu": reader.text("gpu", limit=300)}
    values["gpus"] = reader.check("gpu", lambda: _gpus(values["gpu"]), None)
    for name, high in _NUMBERS.items():
        values[name] = reader.number(name, high=high)
    values["min_reliability"] = reader.share("min_reliability")
    for name in ("count", "min_count"):
        values[name] = reader.whole(name, low=1, high=1024)
    values["disk_gb"] = reader.number("disk_gb", high=1_000_000) or 0.0
    values["egress_gb"] = reader.number("egress_gb", high=10_000_000) or 0.0
    for name in ("provider", "not_provider"):
        nobody: tuple[str, ...] = ()
        values[name] = reader.check(name, partial(_providers, reader.words(name)), nobody)
    for name in ("region", "not_region"):
        values[name] = reader.words(name)
    values["kind"] = reader.choices("kind", Offer.Kind.values)
    values["source"] = reader.choices("source", Offer.Source.values) or (Offer.Source.LIVE.value,)
    values["unverified"], values["rentable"] = reader.flag("unverified"), reader.flag("rentable")
    values |= reader.sort()
    values["ranking"] = (reader.choices("ranking", RANKINGS) or RANKINGS)[0]
    values["weights"] = reader.weights()
    values["page"] = reader.whole("page", low=1, high=MAX_PAGE) or 1
    values["limit"] = reader.whole("limit", low=1, high=MAX_LIMIT) or 50
    reader.raise_if_wrong()
    return OfferQuery(**values)


_NUMBERS = {
    "min_vram": 10_000, "max_vram": 10_000, "min_price": 1_000_000, "max_price": 1_000_000, "min_vcpus": 100_000,
    "min_ram": 1_000_000, "min_disk": 10_000_000, "min_net": 10_000_000,
}  # fmt: skip


def _gpus(text: str) -> frozenset[str] | None:
    terms = parse_gpu_query(text)
    return frozenset[str]().union(*terms) if terms else None


def _providers(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        return ()
    known = {name.lower(): slug for slug, name in Provider.objects.values_list("slug", "name")}
    known |= {slug: slug for slug in known.values()}
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        message = _("There is no provider “%(name)s”.") % {"name": unknown[0][:40]}
        raise Invalid(message, fields={"provider": [message]})
    return tuple(known[name.lower()] for name in names)


class _Reader:
    """Reads one field at a time and keeps what was wrong, so that a form shows all of it at once."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self._wrong: dict[str, list[str]] = {}

    def raise_if_wrong(self) -> None:
        if self._wrong:
            raise Invalid(_("Some filters are not valid."), fields=self._wrong)

    def refuse(self, name: str, message: StrOrPromise) -> None:
        self._wrong.setdefault(name, []).append(str(message))

    def check(self, name: str, read: Callable[[], T], instead: T) -> T:
        try:
            return read()
        except Invalid as wrong:
            self.refuse(name, wrong.message)
            return instead

    def text(self, name: str, *, limit: int = 100) -> str:
        value = self._given.get(name)
        text = "" if value is None else str(value).strip()
        if len(text) > limit or "\x00" in text:
            self.refuse(name, _("This is too long."))
            return ""
        return text

    def number(self, name: str, *, high: float) -> float | None:
        text = self.text(name)
        if not text:
            return None
        try:
            value = float(text.replace(",", ".") if text.count(",") == 1 else text)
        except ValueError:
            value = math.nan
        if not 0 <= value <= high:  # NaN too
            self.refuse(name, _("Write a number from 0 to %(high)s.") % {"high": f"{high:,.0f}"})
            return None
        return value

    def share(self, name: str) -> float | None:
        """0.95 or 95 (per cent)."""
        value = self.number(name, high=100)
        return value / 100 if value is not None and value > 1 else value

    def whole(self, name: str, *, low: int, high: int) -> int | None:
        text = self.text(name)
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and low <= int(text[:12]) <= high):
            self.refuse(name, _("Write a whole number from %(low)d to %(high)d.") % {"low": low, "high": high})
            return None
        return int(text)

    def words(self, name: str) -> tuple[str, ...]:
        words = tuple(dict.fromkeys(word.strip() for word in self.text(name, limit=600).split(",") if word.strip()))
        if len(words) > MAX_WORDS:
            self.refuse(name, _("Name at most %(count)d.") % {"count": MAX_WORDS})
            return ()
        return words

    def choices(self, name: str, known: list[str] | tuple[str, ...]) -> tuple[str, ...]:
        words = self.words(name)
        if any(word not in known for word in words):
            self.refuse(name, _("Choose from: %(known)s.") % {"known": ", ".join(known)})
            return ()
        return words

    def flag(self, name: str) -> bool:
        text = self.text(name).lower()
        if text not in {"", "0", "1", "true", "false", "on", "off", "yes", "no"}:
            self.refuse(name, _("Write 1 or 0."))
        return text in {"1", "true", "on", "yes"}

    def sort(self) -> dict[str, Any]:
        """`price` in its own way, `-price` the other way round."""
        text = self.text("sort") or "best"
        word = text.removeprefix("-")
        if word not in SORTS:
            self.refuse("sort", _("Choose from: %(known)s.") % {"known": ", ".join(SORTS)})
        return {"sort": word, "descending": True if text.startswith("-") else None}

    def weights(self) -> dict[str, int]:
        given = {name: self.whole(f"w_{name}", low=0, high=100) for name in CRITERIA}
        if all(weight is None for weight in given.values()):
            return dict(DEFAULT_WEIGHTS)
        weights = {name: weight or 0 for name, weight in given.items()}
        if not any(weights.values()) and not self._wrong:
            self.refuse("w_price", _("Give at least one weight above zero."))
        return weights
