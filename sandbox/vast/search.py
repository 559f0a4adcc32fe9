"""Vast.ai's filter language: `{"num_gpus": {"gte": 2}, "gpu_name": {"in": ["RTX 4090"]}, "order": [["dph_total", "asc"]]}`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from sandbox.store import Document

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "gt": operator.gt,
    "lt": operator.lt,
    "gte": operator.ge,
    "lte": operator.le,
    "in": lambda value, wanted: value in wanted,
    "notin": lambda value, wanted: value not in wanted,
}
# Words of a search that are no filters.
SETTINGS = {"limit", "type", "order", "allocated_storage", "disable_bundling", "extra", "sort_option", "resource_type"}
DEFAULTS: Document = {"verified": {"eq": True}, "rentable": {"eq": True}, "rented": {"eq": False}}
ALIASES = {"ubuntu_version": "os_version", "flops_usd": "flops_per_dphtotal", "dlperf_usd": "dlperf_per_dphtotal"}
MOST = 3000
USUAL = 64


class BadQuery(ValueError):
    """The query cannot be understood; the text says which part."""


def search(offers: list[Document], query: Document) -> list[Document]:
    filters = {**DEFAULTS, **{name: rule for name, rule in query.items() if name not in SETTINGS}}
    kept = [offer for offer in offers if all(matches(offer, name, rule) for name, rule in filters.items())]
    for name, direction in reversed(_order(query)):
        kept.sort(key=lambda offer: _sortable(offer.get(name)), reverse=direction == "desc")
    return kept[: _limit(query)]


def matches(offer: Document, name: str, rule: Any) -> bool:
    if not isinstance(rule, dict):
        raise BadQuery(f"{name} must be an object such as {{'eq': …}}")
    value = _value(offer, name)
    for word, wanted in rule.items():
        if word not in OPERATORS:
            raise BadQuery(f"{word} is not an operator")
        if word in ("in", "notin") and not isinstance(wanted, list):
            raise BadQuery(f"{name}: {word} takes a list")
        try:
            if not OPERATORS[word](value, _like(name, wanted)):
                return False
        except TypeError:
            # A machine without the figure (cpu_cores can be null) fits no bound on it.
            return False
    return True


def _value(offer: Document, name: str) -> Any:
    if name == "verified":
        return offer["verification"] == "verified"
    if name == "datacenter":
        return offer["hosting_type"] == 1
    if name == "geolocation":
        return offer["geolocation"].rpartition(", ")[2]
    return offer.get(ALIASES.get(name, name))


def _like(name: str, wanted: Any) -> Any:
    """Names of GPUs are written with spaces or underscores, places as `US` or as `California, US`."""
    if isinstance(wanted, list):
        return [_like(name, item) for item in wanted]
    if isinstance(wanted, str) and name == "gpu_name":
        return wanted.replace("_", " ")
    if isinstance(wanted, str) and name == "geolocation":
        return wanted.rpartition(", ")[2]
    return wanted


def _order(query: Document) -> list[tuple[str, str]]:
    order = query.get("order", [["score", "desc"]])
    if not isinstance(order, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(word, str) for word in pair) for pair in order
    ):
        raise BadQuery("order is a list of [field, asc|desc]")
    return [(ALIASES.get(name, name), direction) for name, direction in order]


def _sortable(value: Any) -> tuple[int, Any]:
    """Missing last; text and numbers apart."""
    if value is None:
        return (2, 0)
    return (1, value) if isinstance(value, str) else (0, value)


def _limit(query: Document) -> int:
    limit = query.get("limit", USUAL)
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise BadQuery("limit is a whole number above 0")
    return min(limit, MOST)
