"""The visitor's country by address: three services in turn, two seconds each, kept for a day. Unknown means: ask."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest

from lib import http
from lib.countries import COUNTRIES

KEPT_S = 24 * 3600
# Service, address, and the field of its answer that holds the ISO code.
SERVICES = (
    ("ipapi", "https://ipapi.co/{ip}/json/", "country_code"),
    ("ip-api", "http://ip-api.com/json/{ip}?fields=countryCode", "countryCode"),
    ("ipwhois", "https://ipwho.is/{ip}?fields=country_code", "country_code"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """`country` is empty when it is not known. `source` says who told: forced, private, cache or the service."""

    country: str
    source: str


def detect_country(request: HttpRequest) -> Place:
    """Never raises and never asks for a private address."""
    if settings.FORCE_COUNTRY in COUNTRIES:
        return Place(settings.FORCE_COUNTRY, "forced")
    try:
        address = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return Place("", "unknown")
    if not address.is_global or settings.SANDBOX:
        return Place("", "private" if not address.is_global else "sandbox")
    key = f"geo:{hashlib.sha256(address.packed).hexdigest()}"
    if (known := cache.get(key)) is not None:
        return Place(known, "cache")
    place = _ask_services(str(address))
    cache.set(key, place.country, KEPT_S if place.country else 60)
    return place


def _ask_services(ip: str) -> Place:
    for name, url, field in SERVICES:
        try:
            answer: Any = http.call(name, "GET", url.format(ip=ip), timeout_s=2.0, retries=0).json(name)
        except http.HttpFailed:
            continue
        code = answer.get(field) if isinstance(answer, dict) else None
        if code in COUNTRIES:
            return Place(code, name)
    return Place("", "unknown")
