"""Row ids: UUIDv7 inside (they sort by time), `pod_…` in base32 outside.

Crockford's base32 without I, L, O and U is read aloud without mistakes; 26 characters hold 128 bits.
"""

from __future__ import annotations

from uuid import UUID

from django.utils.translation import gettext
from uuid_utils.compat import uuid7

from lib.errors import NotFound

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 26


def new_id() -> UUID:
    return uuid7()


def encode_id(prefix: str, value: UUID) -> str:
    number, letters = value.int, []
    for _ in range(LENGTH):
        number, digit = divmod(number, 32)
        letters.append(ALPHABET[digit])
    return f"{prefix}_{''.join(reversed(letters))}"


def decode_id(prefix: str, text: str) -> UUID:
    """The row id in a public id. Raises NotFound for anything that cannot be one, as for an unknown row."""
    start, _, body = text.partition("_")
    if start != prefix or len(body) != LENGTH or body[0] > "7":
        raise _unknown(prefix)
    number = 0
    for letter in body.lower():
        digit = ALPHABET.find(letter)
        if digit < 0:
            raise _unknown(prefix)
        number = number * 32 + digit
    return UUID(int=number)


def _unknown(prefix: str) -> NotFound:
    return NotFound(gettext("There is no %s_… with this id.") % prefix)
