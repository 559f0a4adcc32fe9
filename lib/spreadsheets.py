"""CSV files of any length, sent as they are made, that do nothing when a spreadsheet opens them."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from io import StringIO
from itertools import chain, islice

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

ROWS_AT_ONCE = 500
# A cell that begins so is a formula to a spreadsheet, whoever has written it.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def plain(text: str) -> str:
    """Text of other people, with an apostrophe before what would be calculated. Not for numbers."""
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text


def answer_csv(
    request: HttpRequest, *, name: str, columns: Sequence[str], rows: Iterable[Sequence[str]]
) -> StreamingHttpResponse:
    """`rows` are read while they are sent. Cells with text of other people went through `plain`."""
    chunks = _chunks(chain([columns], rows))
    # A server without an event loop reads the rows itself; with one, they are read beside it.
    body = _beside(chunks) if isinstance(request, ASGIRequest) else chunks
    answer = StreamingHttpResponse(body, content_type="text/csv; charset=utf-8")
    answer["Cache-Control"] = "private"
    answer["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return answer


def _chunks(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    rest = iter(rows)
    while some := list(islice(rest, ROWS_AT_ONCE)):
        text = StringIO()
        csv.writer(text).writerows(some)
        yield text.getvalue()


async def _beside(chunks: Iterator[str]) -> AsyncIterator[str]:
    while (chunk := await sync_to_async(lambda: next(chunks, None))()) is not None:
        yield chunk
