"""The search page's state, all of it in the address: form values, chips, sort links, pages, and what to say of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from lib.errors import Invalid
from lib.templatetags.numbers import number, usd
from marketplace.history import PriceSpan, trends
from marketplace.models import Offer, Provider
from marketplace.queries import FILTERS, OfferQuery, parse_query
from marketplace.ranking import CRITERIA
from marketplace.regions import CONTINENTS
from marketplace.rows import OfferRow
from marketplace.search import LARGE_FIRST, OfferPage, browse, count
from marketplace.snapshot import current

NEAREST = 3


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter that is on, and the address without it. `found` is how many offers there would be then."""

    label: str
    value: str
    url: str
    found: int | None = None


@dataclass(frozen=True, slots=True)
class SortLink:
    label: str
    url: str
    direction: str  # for aria-sort: ascending, descending or nothing


@dataclass(frozen=True, slots=True)
class Pager:
    number: int
    pages: int
    previous_url: str
    next_url: str


@dataclass(slots=True)
class SearchPage:
    """Everything that the search's template shows."""

    path: str
    query: OfferQuery
    given: dict[str, str]
    errors: dict[str, list[str]] = field(default_factory=dict)
    result: OfferPage | None = None
    chips: list[Chip] = field(default_factory=list)
    sorts: dict[str, SortLink] = field(default_factory=dict)
    pager: Pager | None = None
    trends: dict[tuple[str, str], list[PriceSpan]] = field(default_factory=dict)
    nearest: list[OfferRow] = field(default_factory=list)
    hidden: list[Chip] = field(default_factory=list)

    @property
    def url(self) -> str:
        return url_of(self.path, self.query)

    @property
    def query_string(self) -> str:
        """As `url`, to hang on another path."""
        return url_of("", self.query)

    @property
    def weights(self) -> list[tuple[str, str, int]]:
        """(field, label, weight) for the sliders."""
        labels = weight_labels()
        return [(f"w_{name}", labels[name], self.query.weights[name]) for name in CRITERIA]

    @property
    def kept(self) -> list[tuple[str, str]]:
        """What the form does not show and must not lose."""
        return [(name, value) for name, value in self.query.as_params() if name == "sort"]

    @property
    def narrowed(self) -> bool:
        """Whether a filter of the second row is on, so that it is shown open."""
        first = {"gpu", "min_vram", "count", "max_price", "region", "kind", "sort", "page", "limit"}
        return any(name not in first for name, _ in self.query.as_params()) or bool(set(self.errors) - first)

    @property
    def ways_out(self) -> list[Chip]:
        """When nothing fits: filters without which something would."""
        return [chip for chip in self.chips if chip.found]

    @property
    def rows(self) -> list[OfferRow]:
        """All that the table shows: what fits, else what comes nearest."""
        return [*(self.result.offers if self.result else ()), *self.nearest]

    @property
    def said(self) -> str:
        """The result in one line, also for people who cannot see the table."""
        if self.result is None:
            return _("Some filters are not valid.")
        total = self.result.total
        return (
            ngettext("%(n)s offer", "%(n)s offers", total) % {"n": number(total)} + " · " + order_in_words(self.query)
        )


def search_page(path: str, given: QueryDict, *, limit: int = 50) -> SearchPage:
    """Parse and search. Invalid filters stay in the form, with what is wrong beside them, and find nothing."""
    values = {name: ",".join(value for value in given.getlist(name) if value) for name in given}
    values.setdefault("limit", str(limit))
    try:
        query = parse_query(values)
    except Invalid as wrong:
        return SearchPage(path, OfferQuery(limit=limit), values, errors=wrong.fields)
    page = SearchPage(path, query, values, result=browse(query))
    assert page.result is not None
    page.sorts = {name: _sort_link(path, query, name, label) for name, label in column_labels().items()}
    page.pager = _pager(path, query, page.result)
    page.chips = _chips(path, query, count_each=not page.result.offers)
    page.hidden = _hidden(path, query, page.result)
    page.trends = trends((offer.gpu, offer.kind) for offer in page.result.offers)
    if not page.result.offers:
        page.nearest = find_nearest(query)
    return page


def find_nearest(query: OfferQuery) -> list[OfferRow]:
    """When nothing fits: the best of the same model whatever else was asked, then the best of all."""
    kept = [name for name in ("gpu", "kind") if getattr(query, name)]
    for names in (FILTERS, set(FILTERS) - set(kept)):
        wider = replace(query.without(*names), page=1, limit=NEAREST)
        if names is not FILTERS and (found := browse(wider).offers):
            return found
    return browse(replace(query.without(*FILTERS), page=1, limit=NEAREST)).offers


def url_of(path: str, query: OfferQuery, *, limit: int = 50) -> str:
    params = [(name, value) for name, value in query.as_params() if name != "limit"]
    return f"{path}?{urlencode(params)}" if params else path


def column_labels() -> dict[str, str]:
    return {
        "gpu": _("GPU"),
        "price": _("$/GPU·h"),
        "provider": _("Provider"),
        "region": _("Region"),
        "ram": _("vCPU · RAM"),
        "disk": _("Disk · net"),
        "reliability": _("Reliability"),
        "fresh": _("Fresh"),
    }


def weight_labels() -> dict[str, str]:
    return {
        "price": _("Price"),
        "performance": _("Performance"),
        "reliability": _("Reliability"),
        "vram": _("VRAM"),
        "net": _("Network"),
    }


def order_in_words(query: OfferQuery) -> str:
    if query.sort == "best":
        return (
            _("best value first") if query.ranking == "reference" else _("best value first (TOPSIS over these offers)")
        )
    if query.sort == "price":
        return _("most expensive first") if query.descending else _("cheapest first")
    label = column_labels().get(query.sort, query.sort)
    return _("sorted by %(column)s") % {"column": label}


def _sort_link(path: str, query: OfferQuery, name: str, label: str) -> SortLink:
    active = query.sort == name
    turned = active and not query.descending
    changed = replace(query, sort=name, descending=True if turned else None, page=1)
    direction = ""
    if active:
        rising = (name not in LARGE_FIRST) != bool(query.descending)
        direction = "ascending" if rising else "descending"
    return SortLink(label, url_of(path, changed), direction)


def _pager(path: str, query: OfferQuery, result: OfferPage) -> Pager:
    def at(page: int) -> str:
        return url_of(path, replace(query, page=page)) if 1 <= page <= result.pages else ""

    return Pager(result.page, result.pages, at(result.page - 1), at(result.page + 1))


def _chips(path: str, query: OfferQuery, *, count_each: bool) -> list[Chip]:
    chips = []
    plain = OfferQuery()
    for name, (label, show) in _chip_words().items():
        value = getattr(query, name)
        if value == getattr(plain, name):
            continue
        without = replace(query.without(name), page=1)
        chips.append(Chip(label, show(value), url_of(path, without), count(without) if count_each else None))
    return chips


def _chip_words() -> dict[str, tuple[str, Any]]:
    """Label of each filter, and how its value is written."""
    kinds = dict(Offer.Kind.choices)
    return {
        "gpu": (_("GPU"), str),
        "min_vram": (_("VRAM ≥"), lambda value: f"{value:g} GB"),
        "max_vram": (_("VRAM ≤"), lambda value: f"{value:g} GB"),
        "count": (_("GPUs"), str),
        "min_count": (_("GPUs ≥"), str),
        "min_price": ("≥", usd),
        "max_price": ("≤", usd),
        "provider": (_("Provider"), _provider_names),
        "not_provider": (_("not at"), _provider_names),
        "region": (_("Region"), _region_names),
        "not_region": (_("not in"), _region_names),
        "kind": (_("Kind"), lambda value: ", ".join(str(kinds[kind]) for kind in value)),
        "min_reliability": (_("Reliability ≥"), lambda value: f"{value * 100:g} %"),
        "min_vcpus": (_("vCPU ≥"), lambda value: f"{value:g}"),
        "min_ram": (_("RAM ≥"), lambda value: f"{value:g} GB"),
        "min_disk": (_("Disk ≥"), lambda value: f"{value:g} GB"),
        "min_net": (_("Net ≥"), lambda value: f"{value:g} Mbit/s"),
        "rentable": (_("Only"), lambda _value: _("rentable here now")),
        "unverified": (_("Also"), lambda _value: _("unverified")),
        "disk_gb": (_("with disk"), lambda value: f"{value:g} GB"),
        "egress_gb": (_("with traffic"), lambda value: _("%(n)s GB a month") % {"n": f"{value:g}"}),
        "source": (_("Sources"), _source_names),
    }


def _provider_names(slugs: Iterable[str]) -> str:
    names = {facts.slug: facts.name for facts in current().providers}
    return ", ".join(names.get(slug, slug) for slug in slugs)


def _region_names(words: Iterable[str]) -> str:
    return ", ".join(str(CONTINENTS.get(word.lower(), word)) for word in words)


def _source_names(sources: Iterable[str]) -> str:
    names: Mapping[str, str] = {
        Offer.Source.LIVE: _("live"),
        Offer.Source.LIST_PRICE: _("list prices"),
        Offer.Source.CATALOG: _("catalogue prices"),
    }
    return ", ".join(names[source] for source in sources)


def _hidden(path: str, query: OfferQuery, result: OfferPage) -> list[Chip]:
    """What the same filters find but the table leaves out, with the address that shows it."""
    found = []
    if result.hidden_unverified:
        url = url_of(path, replace(query, unverified=True, page=1))
        found.append(Chip(_("unverified offers"), number(result.hidden_unverified), url))
    for source, total in result.hidden_sources.items():
        url = url_of(path, replace(query, source=(*query.source, source), page=1))
        found.append(Chip(_source_names([source]), number(total), url))
    return found


def failing_providers() -> list[Provider]:
    """Live providers whose last listing failed: their offers are ageing."""
    return list(Provider.objects.filter(enabled=True, health=Provider.Health.FAILING).order_by("name"))
