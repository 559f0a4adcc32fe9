"""Regions as people name them: a country's code, a continent, or a word of the provider's own region name."""

from __future__ import annotations

from functools import cache

from django.utils.translation import gettext_lazy as _
from django_stubs_ext import StrOrPromise

CONTINENTS: dict[str, StrOrPromise] = {
    "africa": _("Africa"),
    "asia": _("Asia"),
    "europe": _("Europe"),
    "north-america": _("North America"),
    "oceania": _("Oceania"),
    "south-america": _("South America"),
}
# ISO 3166-1 alpha-2 by continent (UN M49; Turkey and Russia as providers sell them, with Europe).
COUNTRIES = {
    "africa": "AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG ER ET GA GH GM GN GQ GW KE KM LR LS LY MA MG ML MR MU MW MZ NA "
    "NE NG RE RW SC SD SL SN SO SS ST SZ TD TG TN TZ UG ZA ZM ZW",
    "asia": "AE AF AM AZ BD BH BN BT CN GE HK ID IL IN IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN MO MV MY NP OM PH PK "
    "PS QA SA SG SY TH TJ TL TM TW UZ VN YE",
    "europe": "AD AL AT BA BE BG BY CH CY CZ DE DK EE ES FI FR GB GI GR HR HU IE IS IT LI LT LU LV MC MD ME MK MT NL NO "
    "PL PT RO RS RU SE SI SK SM TR UA VA XK",
    "north-america": "AG BB BS BZ CA CR CU DM DO GD GT HN HT JM KN LC MX NI PA PR SV TT US VC",
    "oceania": "AU FJ GU KI NC NZ PF PG SB TO VU WS",
    "south-america": "AR BO BR CL CO EC GF GY PE PY SR UY VE",
}


@cache
def continent_of() -> dict[str, str]:
    return {country: continent for continent, codes in COUNTRIES.items() for country in codes.split()}


def is_place(word: str, region: str, country: str) -> bool:
    """Whether `word` names this place. Two letters are a country and nothing else: "in" is not part of "Berlin"."""
    word = word.strip().lower()
    if word in CONTINENTS:
        return continent_of().get(country) == word
    if len(word) == 2:
        return country.lower() == word or word in region.lower().replace(",", " ").split()
    return word in region.lower()
