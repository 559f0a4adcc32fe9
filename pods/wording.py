"""What workers wrote into rows, read in the reader's language.

Rows keep whole sentences, in the language of whoever wrote them. Those without figures are looked up as they are; the
others by their pattern, and then said again with the same figures.
"""

from __future__ import annotations

import re
from functools import cache

from django.conf import settings
from django.utils import translation
from django.utils.functional import lazystr
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from django_stubs_ext import StrOrPromise

PATTERNS = (
    _("%(gpu)s at %(provider)s"),
    _("It failed at %s places in a row."),
    _("It was not reachable in time (%s)."),
    _("Its process ended with code %s."),
    _("Its spend cap of %s is reached."),
    _("The balance pays for about %s more minutes."),
    _("The price rose to %(new)s USD/h; the agreed maximum was %(most)s USD/h."),
    _("The provider still shows it: %s"),
    _("This month's limit of %s USD for the organisation is reached."),
    _("This month's limit of %s USD for who started it is reached."),
)
FIGURES = {"gpu": r"\d+ × .+"}  # what is anything unless it is said here
PLACEHOLDER = re.compile(r"%\\\((\w+)\\\)s|%s")


def say(text: str) -> str:
    """In the active language. What nobody knows, such as a provider's own words, stays as it is."""
    if not text:  # for gettext, that is the header of the catalogue
        return ""
    if (known := gettext(text)) != text:
        return known
    for pattern, shape in _shapes():
        if found := shape.fullmatch(text):
            named = {name: gettext(value) for name, value in found.groupdict().items()}
            return gettext(pattern) % (named or tuple(gettext(value) for value in found.groups()))
    return text


def say_later(text: str) -> StrOrPromise:
    """In the language of whoever will read it."""
    return lazystr(_Said(text))


class _Said:
    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return say(self._text)


@cache
def _shapes() -> list[tuple[str, re.Pattern[str]]]:
    """Each pattern with its shape in every language."""
    shapes = []
    for code, _name in settings.LANGUAGES:
        with translation.override(code):
            shapes += [(pattern, _shape(gettext(pattern))) for pattern in PATTERNS]
    return shapes


def _shape(sentence: str) -> re.Pattern[str]:
    def group(found: re.Match[str]) -> str:
        return f"(?P<{found[1]}>{FIGURES.get(found[1], '.+')})" if found[1] else "(.+)"

    return re.compile(PLACEHOLDER.sub(group, re.escape(sentence)))
