from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import NotFound
from lib.ids import ALPHABET, LENGTH, decode_id, encode_id, new_id

KNOWN = UUID("0192f3a4-5b6c-7d8e-9f01-23456789abcd")


@given(st.uuids())
def test_a_public_id_leads_back_to_its_row(value: UUID) -> None:
    public = encode_id("pod", value)
    assert public.startswith("pod_")
    assert len(public) == len("pod_") + LENGTH
    assert decode_id("pod", public) == value
    assert decode_id("pod", "pod_" + public[4:].upper()) == value


def test_ids_stay_as_they_were_given_out() -> None:
    assert encode_id("pod", KNOWN) == "pod_01jbst8pvcfp79y0938nkrkayd"


def test_ids_sort_by_time_inside_and_outside() -> None:
    made = [new_id() for _ in range(200)]
    assert {value.version for value in made} == {7}
    assert made == sorted(made)
    public = [encode_id("pod", value) for value in made]
    assert public == sorted(public)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pod",
        "pod_",
        "off_" + "0" * LENGTH,
        "pod_" + "0" * (LENGTH - 1),
        "pod_" + "0" * (LENGTH + 1),
        "pod_8" + "0" * (LENGTH - 1),  # would need 129 bits
        "pod_" + "0" * (LENGTH - 1) + "u",  # not a letter of the alphabet
        "pod_" + "0" * (LENGTH - 1) + "İ",  # becomes two letters in lower case
        "pod_" + "\x00" * LENGTH,
        "POD_" + "0" * LENGTH,
        "pod-" + "0" * LENGTH,
        str(KNOWN),
    ],
)
def test_what_cannot_be_an_id_is_answered_as_an_unknown_one(text: str) -> None:
    with pytest.raises(NotFound):
        decode_id("pod", text)


@given(st.text(max_size=40))
def test_no_text_raises_anything_else(text: str) -> None:
    for candidate in (text, f"pod_{text}"):
        try:
            assert isinstance(decode_id("pod", candidate), UUID)
        except NotFound:
            continue


def test_the_alphabet_has_no_letters_that_are_mistaken() -> None:
    assert len(set(ALPHABET)) == 32
    assert not set("ilou") & set(ALPHABET)
