"""Names in the letters that all banks take (SWIFT's set x): accents go, what has no Latin letter becomes a space."""

from __future__ import annotations

import re
import unicodedata

REFUSED = re.compile(r"[^A-Za-z0-9/\-?:().,'+ ]")
# Letters that Unicode does not take apart.
LETTERS = str.maketrans(
    {
        "ß": "ss",
        "æ": "ae",
        "Æ": "AE",
        "œ": "oe",
        "Œ": "OE",
        "ø": "o",
        "Ø": "O",
        "đ": "d",
        "Đ": "D",
        "ł": "l",
        "Ł": "L",
        "&": "+",
    }
)


def latin(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.translate(LETTERS))
    letters = "".join(sign for sign in plain if not unicodedata.combining(sign))
    return " ".join(REFUSED.sub(" ", letters).split())


def reference(public_id: str) -> str:
    """Our name of something in a bank's message: their set has no underscore."""
    return public_id.replace("_", "-")
