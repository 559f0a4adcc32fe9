"""Below a list that is paged by number: where one is, and links to its neighbours. Loaded in every template."""

from __future__ import annotations

from typing import Any

from django import template
from django.core.paginator import Page

register = template.Library()


@register.inclusion_tag("parts/pager.html", takes_context=True)
def pager(context: dict[str, Any], page: Page[Any], name: str = "page", anchor: str = "") -> dict[str, Any]:
    """`name` is the list's part of the address, whose others stay; `anchor` where the list begins: `#payments`."""

    def url(number: int) -> str:
        query = context["request"].GET.copy()
        query[name] = str(number)
        return f"?{query.urlencode()}{anchor}"

    return {
        "page": {
            "number": page.number,
            "pages": page.paginator.num_pages,
            "previous_url": url(page.previous_page_number()) if page.has_previous() else "",
            "next_url": url(page.next_page_number()) if page.has_next() else "",
        }
    }
