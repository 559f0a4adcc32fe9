"""Termination receipts: what ran where, from when to when, seen gone twice, signed so that anybody can check it."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings

ALGORITHM = "Ed25519"


def sign(facts: dict[str, Any]) -> dict[str, Any]:
    """The receipt: the facts (JSON values) with the signature over their canonical form."""
    signature = _private_key().sign(_canonical(facts))
    return {
        "facts": facts,
        "signature": {
            "algorithm": ALGORITHM,
            "public_key": public_key(),
            "value": base64.b64encode(signature).decode(),
        },
    }


def verify(receipt: dict[str, Any]) -> bool:
    """Whether this installation signed exactly these facts."""
    try:
        signature = receipt["signature"]
        if signature["public_key"] != public_key():
            return False
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(signature["public_key"]))
        key.verify(base64.b64decode(signature["value"]), _canonical(receipt["facts"]))
    except (KeyError, TypeError, ValueError, InvalidSignature):
        return False
    return True


def public_key() -> str:
    """Base64 of the 32 bytes with which receipts are checked."""
    raw = _private_key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return base64.b64encode(raw).decode()


def digest(receipt: dict[str, Any]) -> str:
    """A short name of a receipt for pages and mails."""
    return hashlib.sha256(_canonical(receipt["facts"])).hexdigest()[:16]


def _canonical(facts: dict[str, Any]) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


@cache
def _private_key() -> Ed25519PrivateKey:
    seed = HKDF(hashes.SHA256(), 32, salt=None, info=b"gpubroker termination receipts 1")
    return Ed25519PrivateKey.from_private_bytes(seed.derive(str(settings.SECRET_KEY).encode()))
