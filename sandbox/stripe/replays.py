"""`Idempotency-Key`: the first answer is given again, whatever it was, for a day."""

from __future__ import annotations

import hashlib
import time

from sandbox.store import Document, Store
from sandbox.stripe.errors import WrongParameter

KEEP_S = 86_400.0
LONGEST = 255


def fingerprint(path: str, account: str, raw: bytes) -> str:
    return hashlib.sha256(f"{path}\n{account}\n".encode() + raw).hexdigest()


def earlier(store: Store, key: str, print_: str) -> Document | None:
    """What was answered to this key. Raises WrongParameter when it came with another request."""
    if len(key) > LONGEST:
        message = f"Idempotency key is too long: at most {LONGEST} characters."
        raise WrongParameter(message, type="idempotency_error")
    before = store.get("request", key)
    if before is None or time.time() - before["at"] >= KEEP_S:
        return None
    if before["print"] != print_:
        message = (
            "Keys for idempotent requests can only be used with the same parameters they were first used with. Try "
            f"using a key other than '{key}' if you meant to execute a different request."
        )
        raise WrongParameter(message, type="idempotency_error")
    return before


def keep(store: Store, key: str, print_: str, *, status: int, body: Document, request_id: str) -> None:
    """Call it in the same `together` block as what the request did."""
    answer = {"at": time.time(), "print": print_, "status": status, "body": body, "request": request_id}
    store.put("request", key, answer)
