"""Small drawings and look-ups for the market's templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django import template
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from lib.templatetags.numbers import span as span_of_time
from marketplace.gpus import models_by_slug
from marketplace.history import PriceSpan
from marketplace.models import Offer
from marketplace.ranking import KINDS
from marketplace.rows import OfferRow

register = template.Library()

WIDTH, HEIGHT, EDGE = 84, 20, 2
CAPABILITIES = {
    "list": gettext_lazy("list"),
    "rent": gettext_lazy("rent"),
    "stop": gettext_lazy("stop"),
    "spot": gettext_lazy("spot"),
    "logs": gettext_lazy("logs"),
    "metrics": gettext_lazy("metrics"),
    "ssh": "SSH",
}


@register.inclusion_tag("marketplace/_spark.html")
def spark(trends: Mapping[tuple[str, str], Sequence[PriceSpan]], row: OfferRow) -> dict[str, Any]:
    """How the median of the row's model and kind moved, as a line and in words."""
    spans = trends.get((row.gpu, row.kind), ())
    return {"path": _path([float(span.median) for span in spans]), "words": _words(spans), "time": _time(spans)}


def _time(spans: Sequence[PriceSpan]) -> str:
    """How long the line is: 30 days, or what there is so far."""
    return span_of_time((spans[-1].at - spans[0].at).total_seconds()) if len(spans) > 1 else ""


def _path(values: Sequence[float]) -> str:
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    step = WIDTH / (len(values) - 1)
    height = HEIGHT - 2 * EDGE
    flat = low == high
    points = [
        f"{n * step:.1f} {HEIGHT / 2 if flat else HEIGHT - EDGE - (value - low) / span * height:.1f}"
        for n, value in enumerate(values)
    ]
    return "M" + " L".join(points)


def _words(spans: Sequence[PriceSpan]) -> str:
    if len(spans) < 2:
        return _("Not enough history yet")
    first, last = spans[0].median, spans[-1].median
    change = (last - first) / first * 100
    facts = {"n": f"{abs(change):.0f}", "time": _time(spans)}
    if abs(change) < 1:
        return _("Median steady over %(time)s") % facts
    return (_("Median rose %(n)s %% in %(time)s") if change > 0 else _("Median fell %(n)s %% in %(time)s")) % facts


@register.filter
def gpu_name(slug: str) -> str:
    """`H100 SXM` for `h100-sxm-80`; what is no model of ours stays as it is."""
    model = models_by_slug().get(slug)
    return model.name if model else slug


@register.filter
def kind_name(kind: str) -> str:
    return str(Offer.Kind(kind).label) if kind in KINDS else kind


@register.filter
def capability_names(capabilities: Iterable[str]) -> str:
    return ", ".join(str(CAPABILITIES.get(name, name)) for name in capabilities)


@register.filter
def share(value: float | None) -> float | None:
    """0.992 → 99.2"""
    return None if value is None else value * 100


@register.filter
def field_of(values: Mapping[str, Any], name: str) -> Any:
    return values.get(name, "")


@register.filter
def has_word(words: str, word: str) -> bool:
    return word in str(words).split(",")
