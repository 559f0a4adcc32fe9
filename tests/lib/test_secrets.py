from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from cryptography.fernet import Fernet, InvalidToken
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from lib import secrets
from lib.secrets import hash_token, new_token, read_or_make_secret, same, seal, unseal


@pytest.fixture(autouse=True)
def _fresh_box() -> Iterator[None]:
    secrets._box.cache_clear()
    yield
    secrets._box.cache_clear()


def test_a_secret_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "secret_key"
    made = read_or_make_secret(file)
    assert len(made) >= 43
    assert read_or_make_secret(file) == made
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in file.parent.iterdir()] == ["secret_key"], "no draft is left behind"


def test_several_that_start_at_once_have_the_same_secret(tmp_path: Path) -> None:
    start = Barrier(8)

    def first() -> str:
        start.wait(timeout=10)
        return read_or_make_secret(tmp_path / "secret_key")

    with ThreadPoolExecutor(8) as threads:
        made = {future.result() for future in [threads.submit(first) for _ in range(8)]}
    assert made == {(tmp_path / "secret_key").read_text()}


def test_a_field_key_is_one_that_seals(tmp_path: Path) -> None:
    box = Fernet(read_or_make_secret(tmp_path / "field_key", kind="fernet"))
    assert box.decrypt(box.encrypt(b"rp_key")) == b"rp_key"


@given(st.text(max_size=200))
def test_what_was_sealed_is_read_again(text: str) -> None:
    sealed = seal(text)
    assert unseal(sealed) == text
    assert unseal(memoryview(sealed)) == text, "as the database hands it out"  # type: ignore[arg-type]
    if len(text) > 3:
        assert text.encode() not in sealed


def test_equal_secrets_do_not_look_equal() -> None:
    assert seal("rp_key") != seal("rp_key")


def test_what_was_tampered_with_is_not_opened() -> None:
    sealed = seal("rp_key")
    with pytest.raises(InvalidToken):
        unseal(sealed[:-4] + b"AAA=")


def test_a_new_key_writes_and_the_old_one_still_reads() -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    with override_settings(FIELD_KEYS=[old]):
        secrets._box.cache_clear()
        before = seal("rp_key")
    with override_settings(FIELD_KEYS=[new, old]):
        secrets._box.cache_clear()
        assert unseal(before) == "rp_key"
        after = seal("rp_key")
    with override_settings(FIELD_KEYS=[new]):
        secrets._box.cache_clear()
        assert unseal(after) == "rp_key"
        with pytest.raises(InvalidToken):
            unseal(before)


def test_tokens_are_long_random_and_kept_as_hashes() -> None:
    tokens = {new_token("gbk") for _ in range(100)}
    assert len(tokens) == 100
    assert all(token.startswith("gbk_") and len(token) == 4 + 43 for token in tokens)
    token = tokens.pop()
    assert hash_token(token) == hash_token(token)
    assert token not in hash_token(token)
    assert len({hash_token(other) for other in tokens}) == 99


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [("a", "a", True), ("a", "b", False), ("a", "", False), ("é", "é", True), ("é", "e", False)],
)
def test_comparing_takes_any_text(left: str, right: str, equal: bool) -> None:
    assert same(left, right) is equal
