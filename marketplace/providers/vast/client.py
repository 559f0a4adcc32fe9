"""Vast.ai's REST API, as described at https://docs.vast.ai/api-reference."""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from datetime import datetime
from urllib.parse import urlsplit

from lib.http import Answer, HttpFailed, call
from marketplace.providers.base import BadAnswer, NoFunds, OfferGone, ProviderError, RateLimited
from marketplace.providers.wire import CALL_S, Client, NotThere, Row, path_part

LIVE_URL = "https://console.vast.ai"
LISTING_LIMIT = 3000
PAGE = 25
CHARGES_PAGE = 500
MAX_PAGES = 80
LOG_TAIL = 2000
# The log is uploaded to S3 after it was asked for; until then the address answers 403 or 404.
LOG_TRIES = 12
LOG_PAUSE_S = 0.5
THRESHOLD = re.compile(r"threshold=(\d+(?:\.\d+)?)")


class VastClient(Client):
    service = "Vast.ai"

    def explain(self, answer: Answer) -> str:
        body = Row(self.decode(answer))
        words = (body.text(key, limit=2000, optional=True) for key in ("error", "msg", "detail"))
        return ": ".join(word for word in words if word)

    def recognise(self, answer: Answer, reason: str) -> ProviderError | None:
        message = f"{self.service}: {reason}"
        if "no_such_ask" in reason or "not your own" in reason:
            return OfferGone(message)
        if "no_such_instance" in reason:
            return NotThere(message)
        if "insufficient_credit" in reason or "lacks credit" in reason:
            return NoFunds(message)
        if answer.status == 429 and "Retry-After" not in answer.headers and (wait := THRESHOLD.search(reason)):
            return RateLimited(message, retry_after_s=min(float(wait[1]), 3600.0))
        return None

    def search(self, kind: str) -> list[object]:
        query = {
            "type": kind,
            "rentable": {"eq": True},
            "verified": {"in": [True, False]},
            "order": [["dph_total", "asc"], ["id", "asc"]],
            "limit": LISTING_LIMIT,
        }
        answer = self.call("POST", "/api/v0/bundles/", json_body=query, listing=True)
        return Row(self.decode(answer)).items("offers")

    def accept(self, offer: str, launch: dict[str, object]) -> str:
        """Rent an offer. Returns the new instance's id."""
        path = f"/api/v0/asks/{path_part(offer)}/"
        answer = self.call("PUT", path, json_body=launch, allow=range(400, 500))
        ref = self._new_contract(answer)
        if answer.ok and ref:
            return ref
        if ref:  # a bid that is too low is answered with an error and a stopped instance
            self.destroy(ref)
        raise self.error(answer)

    def _new_contract(self, answer: Answer) -> str:
        try:
            return Row(self.decode(answer)).ref("new_contract")
        except BadAnswer:
            return ""

    def instance(self, ref: str) -> Row | None:
        """The instance, or None when Vast says that there is none."""
        try:
            return Row(self.get(f"/api/v0/instances/{path_part(ref)}/")).maybe_child("instances")
        except NotThere:
            return None

    def instances(self, filters: dict[str, object] | None = None) -> list[object]:
        found: list[object] = []
        token = ""
        for _ in range(MAX_PAGES):
            params = {"limit": PAGE, "after_token": token, "select_filters": json.dumps(filters or {})}
            page = Row(self.get("/api/v1/instances/", params={k: v for k, v in params.items() if v != ""}))
            found += page.items("instances")
            token = page.note("next_token", limit=2000, required=True)
            if not token:
                return found
        raise BadAnswer(f"{self.service}: the list of instances does not end.")

    def set_state(self, ref: str, state: str) -> None:
        self.call("PUT", f"/api/v0/instances/{path_part(ref)}/", json_body={"state": state})

    def destroy(self, ref: str) -> None:
        with suppress(NotThere):
            self.call("DELETE", f"/api/v0/instances/{path_part(ref)}/")

    def charges(self, since: datetime, until: datetime) -> list[object]:
        """One row for each contract. Vast's filter includes both ends."""
        days = {"gte": int(since.timestamp()), "lte": int(until.timestamp()) - 1}
        filters = json.dumps({"day": days, "type": {"in": ["instance"]}})
        found: list[object] = []
        token = ""
        for _ in range(MAX_PAGES):
            params = {"select_filters": filters, "limit": CHARGES_PAGE, "after_token": token}
            page = Row(self.get("/api/v0/charges/", params={k: v for k, v in params.items() if v != ""}))
            found += page.items("results")
            token = page.note("next_token", limit=2000, required=True)
            if not token:
                return found
        raise BadAnswer(f"{self.service}: the list of charges does not end.")

    def log_text(self, ref: str) -> str:
        path = f"/api/v0/instances/request_logs/{path_part(ref)}"
        asked = Row(self.decode(self.call("PUT", path, json_body={"tail": str(LOG_TAIL)})))
        url = asked.text("result_url", limit=2000)
        self._refuse_foreign(url)
        for attempt in range(LOG_TRIES):
            try:  # a file of somebody else's host: our key does not go there
                answer = call(self.service, "GET", url, timeout_s=CALL_S)
            except HttpFailed as failure:
                self._raise_failed(failure)
            if answer.ok:
                return answer.body.decode("utf-8", errors="replace")
            if answer.status not in (403, 404):
                raise self.error(answer)
            if attempt < LOG_TRIES - 1:
                time.sleep(LOG_PAUSE_S)
        return ""

    def _refuse_foreign(self, url: str) -> None:
        """A log address may point at Amazon or at the API itself, and nowhere else in our network."""
        try:
            there, here = urlsplit(url), urlsplit(self.base_url)
        except ValueError:
            raise BadAnswer(f"{self.service}: the log address is not an address.") from None
        at_amazon = there.scheme == "https" and (there.hostname or "").endswith(".amazonaws.com")
        if not at_amazon and (there.scheme, there.netloc) != (here.scheme, here.netloc):
            raise BadAnswer(f"{self.service}: the log address points elsewhere.")
