"""The price part of the Akash Console API (https://console-api.akash.network/v1/swagger)."""

from __future__ import annotations

from lib.http import Answer
from marketplace.providers.wire import Client, Row

LIVE_URL = "https://console-api.akash.network"


class AkashClient(Client):
    service = "Akash"

    def headers(self) -> dict[str, str]:
        return {"x-api-key": self._key} if self._key else {}

    def explain(self, answer: Answer) -> str:
        body = Row(self.decode(answer))
        return body.note("message") or body.note("error")

    def gpu_prices(self) -> list[object]:
        return Row(self.get("/v1/gpu-prices", listing=True)).items("models")
