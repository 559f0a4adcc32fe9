"""Numbers as people read them: money with its unit, bytes, spans of time. Loaded in every template."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django import template
from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from lib.clock import now

register = template.Library()


def _shown(value: Decimal | float, places: int, *, grouped: bool = True) -> str:
    """Rounded as money is, half to even; Django's own formatting only cuts off."""
    return formats.number_format(f"{Decimal(str(value)):.{places}f}", decimal_pos=places, force_grouping=grouped)


@register.filter
def usd(amount: Decimal | float | None, places: int = 2) -> str:
    """`$2.39`; small prices keep the digits that matter: `$0.0042`. A dash when there is none."""
    if amount is None:
        return "—"
    value = Decimal(str(amount))
    if value and abs(value) < Decimal("0.1") and places == 2:
        places = 4 if abs(value) >= Decimal("0.001") else 6
    sign = "−" if value < 0 else ""
    return f"{sign}${_shown(abs(value), places)}"


@register.filter
def money(amount: Decimal | None, currency: str) -> str:
    if amount is None:
        return "—"
    if currency == "USD":
        return usd(amount)
    places = 2 if not amount or abs(amount) >= Decimal("0.005") else 6
    return money_exact(amount, currency, places)


@register.filter
def money_exact(amount: Decimal, currency: str, places: int = 6) -> str:
    """With the places in which it is kept: `0.000767 credits`."""
    sign = "−" if amount < 0 else ""
    shown = _shown(abs(amount), places)
    if currency == "USD":
        return f"{sign}${shown}"
    unit = _("credits") if currency == "CREDIT" else currency
    return f"{sign}{shown} {unit}"


@register.filter
def number(value: float | None, places: int = 0) -> str:
    if value is None:
        return "—"
    return _shown(value, places)


@register.filter
def bytes_short(value: float | None) -> str:
    if value is None:
        return "—"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(value) < 1000 or unit == "TB":
            return f"{_shown(value, 0 if unit == 'B' else 1, grouped=False)} {unit}"
        value /= 1000
    return "—"


@register.filter
def span(seconds: float | None) -> str:
    """`8.4 s`, `3 min 10 s`, `7 h 19 min`, `2 d 4 h`."""
    if seconds is None:
        return "—"
    if seconds < 10:
        return f"{_shown(seconds, 1)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    if hours == 0:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    days, hours_left = divmod(hours, 24)
    if days == 0:
        return f"{hours} h {minutes_left} min" if minutes_left else f"{hours} h"
    return f"{days} d {hours_left} h" if hours_left else f"{days} d"


@register.filter
def ago(moment: datetime | None) -> str:
    if moment is None:
        return _("never")
    seconds = (now() - moment).total_seconds()
    if seconds < 5:
        return _("now")
    if seconds < 60:
        return _("%(n)d s ago") % {"n": seconds}
    if seconds < 3600:
        return _("%(n)d min ago") % {"n": seconds // 60}
    if seconds < 48 * 3600:
        return _("%(n)d h ago") % {"n": seconds // 3600}
    days = int(seconds // 86400)
    return ngettext("%(n)d day ago", "%(n)d days ago", days) % {"n": days}
