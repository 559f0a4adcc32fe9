"""RunPod's REST API v2 (https://docs.runpod.io/api-reference-v2), and GraphQL for the price list that needs no key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from lib.http import Answer
from marketplace.providers.base import BadAnswer, NoFunds, OfferGone, ProviderError
from marketplace.providers.wire import Client, NotThere, Row, path_part

LIVE_URL = "https://api.runpod.io"
LOG_TAIL = 1000
PRICES = """
query GpuTypes($lowestPriceInput: GpuLowestPriceInput, $gpuTypesInput: GpuTypeFilter) {
  gpuTypes(input: $gpuTypesInput) {
    id displayName memoryInGb maxGpuCount securePrice communityPrice
    lowestPrice(input: $lowestPriceInput) { uninterruptablePrice minVcpu minMemory stockStatus }
  }
}
"""


class RunPodClient(Client):
    service = "RunPod"

    def explain(self, answer: Answer) -> str:
        problem = Row(self.decode(answer))
        faults = [fault for fault in problem.items("errors") if isinstance(fault, str)] if problem.has("errors") else []
        return "; ".join([problem.note("detail") or problem.note("title"), *faults])

    def recognise(self, answer: Answer, reason: str) -> ProviderError | None:
        words = reason.lower()
        if "balance" in words or "insufficient funds" in words:
            return NoFunds(f"{self.service}: {reason}")
        if "no longer any instances" in words or "no instances" in words or "capacity" in words:
            return OfferGone(f"{self.service}: {reason}")
        return None

    def catalog(self, cloud: str) -> list[object]:
        params = {"include": "AVAILABILITY", "product": "POD", "count": 1, "cloud": cloud}
        return Row(self.get("/v2/catalog/gpus", params=params, listing=True)).items("gpus")

    def price_list(self, *, secure: bool) -> list[object]:
        """Every GPU type with what one of it costs in that cloud now. GraphQL answers 200 to errors too."""
        wanted = {"gpuCount": 1, "secureCloud": secure}
        query = {"query": PRICES, "variables": {"lowestPriceInput": wanted, "gpuTypesInput": None}}
        body = Row(self.decode(self.call("POST", "/graphql", json_body=query, listing=True)))
        if not body.has("data"):
            raise BadAnswer(f"{self.service}: the price list was refused.")
        return body.child("data").items("gpuTypes")

    def pods(self) -> list[object]:
        return Row(self.get("/v2/pods")).items("pods")

    def pod(self, ref: str) -> Row | None:
        """The pod, or None when RunPod says that there is none."""
        try:
            return Row(self.get(f"/v2/pods/{path_part(ref)}"))
        except NotThere:
            return None

    def create(self, body: Mapping[str, object]) -> Row:
        return Row(self.decode(self.call("POST", "/v2/pods", json_body=body)))

    def act(self, ref: str, action: str) -> bool:
        """False when the pod's status does not allow it."""
        path = f"/v2/pods/{path_part(ref)}/action"
        return self.call("POST", path, json_body={"action": action}, allow=[409]).ok

    def delete(self, ref: str) -> None:
        self.call("DELETE", f"/v2/pods/{path_part(ref)}")

    def pod_bills(self, since: datetime, until: datetime) -> list[object]:
        """One record for each pod and day."""
        params = {"startTime": since.isoformat(), "endTime": until.isoformat(), "bucketSize": "day"}
        return Row(self.get("/v2/billing/pods", params=params)).items("records")

    def log_events(self, ref: str, *, after: str) -> str:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after and after.isascii() else {})
        answer = self.stream(
            f"/v2/pods/{path_part(ref)}/logs", params={"source": "container", "tail": LOG_TAIL}, headers=headers
        )
        return answer.body.decode("utf-8", errors="replace")
