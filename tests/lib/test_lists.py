from __future__ import annotations

from uuid import uuid4

import pytest

from accounts.models import Organisation
from lib.errors import Invalid
from lib.ids import new_id
from lib.lists import MAX_LIMIT, page_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows() -> list[str]:
    made = [Organisation.objects.create(id=new_id(), name=f"organisation {n}") for n in range(7)]
    return [row.name for row in reversed(made)]


def page(limit: int = 3, cursor: str | None = None) -> tuple[list[str], str | None]:
    answer = page_of(Organisation.objects.all(), limit=limit, cursor=cursor, show=lambda row: row.name)
    assert set(answer) == {"items", "next"}
    return answer["items"], answer["next"]


def test_pages_together_are_all_rows_newest_first(rows: list[str]) -> None:
    seen: list[str] = []
    cursor = None
    for expected in (3, 3, 1):
        items, cursor = page(cursor=cursor)
        assert len(items) == expected
        seen += items
    assert cursor is None
    assert seen == rows


def test_the_last_full_page_has_no_next(rows: list[str]) -> None:
    assert page(limit=len(rows)) == (rows, None)


def test_a_row_that_is_added_meanwhile_moves_no_page(rows: list[str]) -> None:
    first, cursor = page()
    Organisation.objects.create(id=new_id(), name="newer")
    assert page(cursor=cursor)[0] == rows[3:6]
    assert page()[0] == ["newer", *first[:2]]


def test_nothing_is_a_page_too() -> None:
    assert page() == ([], None)
    assert page(cursor=uuid4().hex) == ([], None)


@pytest.mark.parametrize("limit", [0, -1, MAX_LIMIT + 1, 10**30])
def test_a_limit_out_of_range_is_refused(limit: int) -> None:
    with pytest.raises(Invalid) as refusal:
        page(limit=limit)
    assert list(refusal.value.fields) == ["limit"]


@pytest.mark.parametrize("cursor", ["x", "0" * 31, "\x00" * 32, "g" * 32, "é" * 32, "-" * 36])
def test_a_cursor_that_we_did_not_make_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid) as refusal:
        page(cursor=cursor)
    assert list(refusal.value.fields) == ["cursor"]
