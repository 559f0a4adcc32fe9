"""Signatures of webhooks: RSA over `transmission id|time|webhook id|CRC-32 of the raw body`, as PayPal makes them."""

from __future__ import annotations

import base64
import json
import zlib
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from sandbox.store import Store

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

# The cryptography package is imported where it is used: most runs never sign, and starting should be quick.
ALGORITHM = "SHA256withRSA"
CERT_PATH = "/v1/notifications/certs/CERT-SANDBOX-1"
KEY_BITS = 2048


class Signer:
    """A key of this peer's own, made at first use and kept in its state."""

    def __init__(self, store: Store, webhook_id: str) -> None:
        self._store = store
        self._webhook_id = webhook_id

    @cached_property
    def _key(self) -> RSAPrivateKey:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        kept = self._store.value("signing_key")
        if kept is not None:
            key = serialization.load_pem_private_key(kept.encode(), password=None)
            assert isinstance(key, rsa.RSAPrivateKey)
            return key
        key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._store.set_value("signing_key", pem.decode())
        return key

    def sign(self, transmission_id: str, at: str, raw: bytes) -> str:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        text = self._text(transmission_id, at, self._webhook_id, raw)
        return base64.b64encode(self._key.sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()

    def verify(self, signature: str, transmission_id: str, at: str, webhook_id: str, raw: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        if webhook_id != self._webhook_id:
            return False
        try:
            given = base64.b64decode(signature, validate=True)
            text = self._text(transmission_id, at, webhook_id, raw)
            self._key.public_key().verify(given, text, padding.PKCS1v15(), hashes.SHA256())
        except (ValueError, InvalidSignature):
            return False
        return True

    def certificate(self) -> bytes:
        """PEM, self-signed: readers that check signatures by themselves fetch it from PAYPAL-CERT-URL."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.x509.oid import NameOID

        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "messageverificationcerts.sandbox.invalid")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=365))
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    @staticmethod
    def _text(transmission_id: str, at: str, webhook_id: str, raw: bytes) -> bytes:
        return f"{transmission_id}|{at}|{webhook_id}|{zlib.crc32(raw)}".encode()


def raw_member(raw: str, name: str) -> str | None:
    """The text of one member of a JSON object exactly as it was written; None when there is no such member.

    The signature is over the event's bytes: a parsed and re-written event would have another checksum.
    Raises ValueError for text that is no JSON object.
    """
    decoder = json.JSONDecoder()

    def skip(at: int) -> int:
        while at < len(raw) and raw[at] in " \t\r\n":
            at += 1
        return at

    at = skip(0)
    if raw[at : at + 1] != "{":
        raise ValueError("not an object")
    at = skip(at + 1)
    while raw[at : at + 1] not in ("}", ""):
        key, at = decoder.raw_decode(raw, at)
        at = skip(at)
        if not isinstance(key, str) or raw[at : at + 1] != ":":
            raise ValueError("not an object")
        begin = skip(at + 1)
        _, at = decoder.raw_decode(raw, begin)
        if key == name:
            return raw[begin:at]
        at = skip(at)
        if raw[at : at + 1] == ",":
            at = skip(at + 1)
    return None
