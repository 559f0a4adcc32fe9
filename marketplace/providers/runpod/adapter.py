"""RunPod in the words of the provider contract.

Prices are USD/h for one GPU; an offer is a GPU type, a cloud, a count and, where RunPod tells, a data centre. Spot is
being removed from RunPod's API and is not offered. A pod's name carries our key.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

from marketplace.providers.base import (
    Account,
    BillLine,
    Capability,
    Instance,
    InstanceState,
    LaunchRequest,
    LogLine,
    OfferGone,
    RawOffer,
    Rejected,
)
from marketplace.providers.runpod.client import LIVE_URL, RunPodClient
from marketplace.providers.wire import (
    LOG_LINE,
    VRAM_GB,
    NotThere,
    RefusedRow,
    Row,
    is_too_dear,
    read_instances,
    read_offers,
)

CLOUDS = ("SECURE", "COMMUNITY")
COUNTS = (1, 2, 4, 8)
REF_SEPARATOR = "|"
SSH_PORT = 22
STATES: Mapping[str, InstanceState] = {
    "PROVISIONING": "creating",
    "STARTING": "booting",
    "RUNNING": "running",
    "EXITED": "stopped",
    "ERROR": "failed",
    "TERMINATED": "gone",
}


class Adapter:
    slug = "runpod"
    name = "RunPod"
    capabilities: frozenset[Capability] = frozenset({"list", "rent", "stop", "logs", "ssh"})
    keyless_listing = True

    def __init__(self, account: Account) -> None:
        self.refused: list[str] = []
        self._has_key = bool(account.key)
        self._client = RunPodClient(account, LIVE_URL)

    def list_offers(self) -> list[RawOffer]:
        self.refused = []
        offers = []
        for cloud in CLOUDS:
            if self._has_key:
                rows, parse = self._client.catalog(cloud), _read_catalog
            else:
                rows, parse = self._client.price_list(secure=cloud == "SECURE"), _read_price
            offers += read_offers(self.name, rows, partial(parse, cloud=cloud), self.refused)
        return offers

    def create(self, request: LaunchRequest) -> Instance:
        if request.kind != "on_demand":
            raise Rejected(f"{self.name}: {request.kind} is not offered through its API.")
        instance = self.find(request.key) or _read_instance(self._client.create(_launch(request)))
        if is_too_dear(instance, request):
            self.terminate(instance.ref)
            raise OfferGone(f"{self.name}: the price rose to {instance.price_per_hour} USD/h; the pod was ended.")
        return instance

    def find(self, key: str) -> Instance | None:
        return next((pod for pod in self.list_instances() if pod.key == key and pod.state != "gone"), None)

    def get(self, ref: str) -> Instance:
        row = self._client.pod(ref)
        return _read_instance(row) if row else Instance(ref=ref, key="", state="gone")

    def list_instances(self) -> list[Instance]:
        return read_instances(self.name, self._client.pods(), _read_instance)

    def stop(self, ref: str) -> None:
        self._switch(ref, "stop", {"stopped"})

    def start(self, ref: str) -> None:
        self._switch(ref, "start", {"creating", "booting", "running"})

    def _switch(self, ref: str, action: str, wanted: set[InstanceState]) -> None:
        if not self._client.act(ref, action) and (state := self.get(ref).state) not in wanted:
            raise Rejected(f"{self.name}: a pod that is {state} cannot {action}.")

    def terminate(self, ref: str) -> None:
        with suppress(NotThere):
            self._client.delete(ref)

    def logs(self, ref: str, *, after: str = "") -> list[LogLine]:
        """Lines after the event `after`, as far as the stream holds them now."""
        return list(_read_events(self._client.log_events(ref, after=after)))

    def bill(self, since: datetime, until: datetime) -> list[BillLine]:
        return [_read_bill(Row(record)) for record in self._client.pod_bills(since, until)]


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU type in one cloud: what one costs, and how many fit into a pod."""

    gpu: str
    vram_gb: float
    each: Decimal
    most: int

    def offers(self, cloud: str, region: str, *, in_stock: bool) -> Iterator[RawOffer]:
        for count in (count for count in COUNTS if count <= self.most):
            yield RawOffer(
                ref=REF_SEPARATOR.join((self.gpu, cloud, str(count), region)),
                gpu_name=self.gpu,
                gpu_count=count,
                vram_gb=self.vram_gb,
                price_per_hour=self.each * count,
                region=region,
                country=_country(region),
                tier=cloud.lower(),
                available_count=None if in_stock else 0,
            )


def _read_catalog(row: Row, *, cloud: str) -> Iterator[RawOffer]:
    """Offers in each data centre that has the type; where none is named, one that tells whether there is any."""
    side = cloud.lower()
    if not row.flag(side):
        return
    card = Card(
        gpu=row.text("id", limit=80),
        vram_gb=row.number("memory", low=VRAM_GB[0], high=VRAM_GB[1]),
        each=row.child("price").price(side),
        most=row.child("maxCount").count(side, low=0),
    )
    places = [Row(place) for place in row.items("dataCenters")] if row.has("dataCenters") else []
    regions = [place.text("id", limit=40) for place in places if place.text("availability") != "NONE"]
    in_stock = row.text("availability", optional=True) != "NONE"
    for region in regions or [""]:
        yield from card.offers(cloud, region, in_stock=in_stock)


def _read_price(row: Row, *, cloud: str) -> Iterator[RawOffer]:
    gpu, key = row.text("id", limit=80), f"{cloud.lower()}Price"
    if not row.maybe_price(key):
        return  # the type is not in this cloud
    card = Card(
        gpu=gpu,
        vram_gb=row.number("memoryInGb", low=VRAM_GB[0], high=VRAM_GB[1]),
        each=row.price(key),
        most=row.count("maxGpuCount", low=0),
    )
    in_stock = row.has("lowestPrice") and row.child("lowestPrice").has("stockStatus")
    yield from card.offers(cloud, "", in_stock=in_stock)


def _country(region: str) -> str:
    """The country of a data centre: "US-KS-2" is in the US, "EU-RO-1" in Romania, "CA-MTL-1" in Canada."""
    parts = region.split("-")
    if len(parts) != 3:
        return ""
    country = parts[1] if parts[0] in {"EU", "EUR", "AP", "OC", "SEA"} else parts[0]
    return country if len(country) == 2 else ""


def _read_instance(row: Row) -> Instance:
    # A status that RunPod adds one day is no failure: the caller's time limit decides.
    state = STATES.get(row.text("status"), "booting")
    ssh = _read_ssh(row)
    return Instance(
        ref=row.text("id"),
        key=row.note("name", required=True),
        state=state,
        price_per_hour=row.maybe_price("cost") or None,
        ssh_host=ssh.text("host") if ssh else "",
        ssh_port=ssh.count("port", high=65535) if ssh else None,
        ssh_user=ssh.text("username") if ssh else "root",
        ports=_read_ports(row),
        started_at=_read_time(row.text("startedAt")) if row.has("startedAt") else None,
    )


def _read_ssh(row: Row) -> Row | None:
    """Straight to the pod where it has a public port, else by RunPod's proxy, which gives a shell and no file copy."""
    ways = row.child("ssh") if row.has("ssh") else Row({})
    return next((ways.child(way) for way in ("direct", "proxy") if ways.has(way)), None)


def _read_ports(row: Row) -> dict[int, str]:
    runtime = row.child("runtime") if row.has("runtime") else None
    ports = [Row(port) for port in runtime.items("ports")] if runtime and runtime.has("ports") else []
    return {
        port.count("private", high=65535): f"{port.text('ip')}:{port.count('public', high=65535)}"
        for port in ports
        if port.has("ip") and port.has("public")
    }


def _read_time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RefusedRow("a time is not ISO 8601") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _read_bill(row: Row) -> BillLine:
    span = _read_time(row.text("startTime")), _read_time(row.text("endTime"))
    return BillLine(row.text("podId"), row.amount("totalAmount"), "USD", *span)


def _read_events(stream: str) -> Iterator[LogLine]:
    """Server-sent events `id: …` / `data: {"ts", "source", "line"}`; the last one may be cut off and is left."""
    for event in stream.replace("\r\n", "\n").split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in event.split("\n") if ": " in line)
        cursor = fields.get("id", "")
        if "data" not in fields or not cursor or not cursor.isascii():
            continue  # the cursor goes back in a header, which holds ASCII only
        with suppress(ValueError, RecursionError, RefusedRow):
            data = Row(json.loads(fields["data"]))
            text = data.note("line", limit=LOG_LINE)
            yield LogLine(at=_read_time(data.text("ts")), text=text, cursor=cursor[:200])


def _launch(request: LaunchRequest) -> dict[str, object]:
    try:
        gpu, cloud, count, region = request.offer_ref.split(REF_SEPARATOR)
        gpus = int(count)
    except ValueError:
        raise Rejected("RunPod: this is not one of its offers.") from None
    launch: dict[str, object] = {
        "name": request.key,
        "image": request.image,
        "gpu": {"id": gpu, "count": gpus},
        "cloud": cloud,
        "disk": request.disk_gb,
        "env": dict(request.env),
        "ports": [f"{port}/tcp" for port in sorted({SSH_PORT, *request.ports})],
        "startSsh": True,
    }
    if region:
        launch["dataCenterIds"] = [region]
    if request.command:
        launch["args"] = shlex.join(request.command)
    return launch
