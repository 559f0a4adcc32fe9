"""Lambda's Cloud API (https://docs.lambda.ai/api/cloud)."""

from __future__ import annotations

from collections.abc import Mapping

from lib.http import Answer
from marketplace.providers.base import BadAnswer, BadKey, OfferGone, ProviderError, Rejected
from marketplace.providers.wire import Client, NotThere, Row, path_part

LIVE_URL = "https://cloud.lambda.ai"
# Lambda asks clients to branch on the code, not on the HTTP status.
ERRORS: Mapping[str, type[ProviderError]] = {
    "global/invalid-api-key": BadKey,
    "global/account-inactive": BadKey,
    "global/forbidden": BadKey,
    "global/object-does-not-exist": NotThere,
    "global/quota-exceeded": Rejected,
    "instance-operations/launch/insufficient-capacity": OfferGone,
}


class LambdaClient(Client):
    service = "Lambda"

    def explain(self, answer: Answer) -> str:
        error = Row(self.decode(answer)).child("error")
        return f"{error.text('code')}: {error.note('message')}"

    def recognise(self, answer: Answer, reason: str) -> ProviderError | None:
        kind = ERRORS.get(reason.partition(": ")[0])
        return kind(f"{self.service}: {reason}") if kind else None

    def instance_types(self) -> list[tuple[str, object]]:
        return Row(self.get("/api/v1/instance-types", listing=True)).child("data").pairs()

    def launch(self, body: Mapping[str, object]) -> str:
        answer = self.call("POST", "/api/v1/instance-operations/launch", json_body=body)
        ids = Row(self.decode(answer)).child("data").items("instance_ids")
        if len(ids) != 1 or not isinstance(ids[0], str):
            raise BadAnswer(f"{self.service}: one instance was asked for, {len(ids)} were named.")
        return ids[0]

    def instance(self, ref: str) -> Row | None:
        """The instance, or None when Lambda says that there is none."""
        try:
            return Row(self.get(f"/api/v1/instances/{path_part(ref)}")).child("data")
        except NotThere:
            return None

    def instances(self) -> list[object]:
        return Row(self.get("/api/v1/instances")).items("data")

    def terminate(self, ref: str) -> None:
        self.call("POST", "/api/v1/instance-operations/terminate", json_body={"instance_ids": [ref]})

    def ssh_key_names(self) -> list[str]:
        return [Row(key).text("name") for key in Row(self.get("/api/v1/ssh-keys")).items("data")]
