"""Secrets: files that only their owner reads, columns that only the key opens, tokens stored as hashes."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from functools import cache
from pathlib import Path

from cryptography.fernet import Fernet, MultiFernet

KINDS = {
    "token": lambda: secrets.token_urlsafe(48),
    "fernet": lambda: Fernet.generate_key().decode(),
    "hex": lambda: secrets.token_hex(32),
}


def read_or_make_secret(file: Path, *, kind: str = "token") -> str:
    """The secret in `file`; the first caller makes it (mode 0600), also when several start at once."""
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        pass
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    value = KINDS[kind]()
    draft = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(value)
    try:
        os.link(draft, file)  # fails when another process was first: then its secret is the one
    except FileExistsError:
        value = file.read_text().strip()
    finally:
        draft.unlink()
    return value


@cache
def _box() -> MultiFernet:
    from django.conf import settings

    return MultiFernet([Fernet(key) for key in settings.FIELD_KEYS])


def seal(text: str) -> bytes:
    """Encrypt a customer's secret for a column. The first of FIELD_KEYS writes, all of them read."""
    return _box().encrypt(text.encode())


def unseal(sealed: bytes) -> str:
    return _box().decrypt(bytes(sealed)).decode()


def new_token(prefix: str) -> str:
    """A secret shown once, such as `gbk_…`: 256 random bits."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def hash_token(token: str) -> str:
    """Tokens are long and random, so a plain SHA-256 is enough; passwords are hashed by Django."""
    return hashlib.sha256(token.encode()).hexdigest()


def same(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode(), right.encode())
