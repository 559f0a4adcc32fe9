"""Vast.ai in the words of the provider contract.

Units: gpu_ram and cpu_ram are MB, prices USD/h for the whole offer. An offer's disk is priced apart: `dph_base` and
`min_bid` are without it. An instance's label carries our key.
"""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2s

from marketplace.providers.base import (
    Account,
    BadAnswer,
    BillLine,
    Capability,
    Instance,
    InstanceState,
    Kind,
    LaunchRequest,
    LogLine,
    OfferGone,
    RawOffer,
    Rejected,
)
from marketplace.providers.vast.client import LIVE_URL, VastClient
from marketplace.providers.wire import (
    LOG_LINE,
    SIX_PLACES,
    VRAM_GB,
    Row,
    is_too_dear,
    printable,
    read_instances,
    read_offers,
)

MB_IN_GB = 1024
CURSOR_LINES = 8
KINDS: Mapping[Kind, str] = {"on_demand": "on-demand", "spot": "bid"}
STATES: Mapping[str, InstanceState] = {
    "": "creating",
    "created": "creating",
    "loading": "pulling",
    "running": "running",
    "rebooting": "booting",
    "stopped": "stopped",
    "exited": "exited",
    # None of these comes back by itself: paused and still billed, without a heartbeat, host gone.
    "frozen": "failed",
    "unknown": "failed",
    "offline": "failed",
}


class Adapter:
    slug = "vast"
    name = "Vast.ai"
    capabilities: frozenset[Capability] = frozenset({"list", "rent", "stop", "spot", "logs", "ssh"})
    keyless_listing = True

    def __init__(self, account: Account) -> None:
        self.refused: list[str] = []
        self._client = VastClient(account, LIVE_URL)

    def list_offers(self) -> list[RawOffer]:
        self.refused = []
        offers = []
        for kind, word in KINDS.items():
            rows = self._client.search(word)
            offers += read_offers(self.name, rows, partial(_read_offer, kind=kind), self.refused)
        return offers

    def create(self, request: LaunchRequest) -> Instance:
        if request.kind not in KINDS or (request.kind == "spot" and not request.max_price_per_hour):
            raise Rejected(f"{self.name}: a spot instance needs a price, and nothing is reserved here.")
        row = self._find(request.key)
        if row is None:
            ref = self._client.accept(request.offer_ref, _launch(request))
            row = self._client.instance(ref)
        if row is None:
            raise BadAnswer(f"{self.name}: the new instance is not there.")
        instance = _read_instance(row)
        self._refuse_other_terms(instance, row, request)
        return instance

    def _refuse_other_terms(self, instance: Instance, row: Row, request: LaunchRequest) -> None:
        """Vast bills on-demand without a word when a bid is not understood: what was not asked for is ended."""
        is_bid = row.has("is_bid") and row.flag("is_bid")
        if is_bid != (request.kind == "spot"):
            self.terminate(instance.ref)
            raise Rejected(f"{self.name}: the instance was not created as {request.kind}; it was ended.")
        if is_too_dear(instance, request):
            self.terminate(instance.ref)
            raise OfferGone(f"{self.name}: the price rose to {instance.price_per_hour} USD/h; the instance was ended.")

    def find(self, key: str) -> Instance | None:
        row = self._find(key)
        return _read_instance(row) if row else None

    def _find(self, key: str) -> Row | None:
        rows = map(Row, self._client.instances({"label": {"eq": key}}))
        return next((row for row in rows if row.note("label", required=True) == key), None)

    def get(self, ref: str) -> Instance:
        row = self._client.instance(ref)
        return _read_instance(row) if row else Instance(ref=ref, key="", state="gone")

    def list_instances(self) -> list[Instance]:
        return read_instances(self.name, self._client.instances(), _read_instance)

    def stop(self, ref: str) -> None:
        self._client.set_state(ref, "stopped")

    def start(self, ref: str) -> None:
        self._client.set_state(ref, "running")

    def terminate(self, ref: str) -> None:
        self._client.destroy(ref)

    def logs(self, ref: str, *, after: str = "") -> list[LogLine]:
        """The newest lines. Vast gives no times and no positions: a cursor is a digest of a line and those before it."""
        now = datetime.now(UTC)
        lines, recent = [], deque[str](maxlen=CURSOR_LINES)
        for text in self._client.log_text(ref).splitlines():
            recent.append(text)
            cursor = blake2s("\n".join(recent).encode(), digest_size=12).hexdigest()
            lines.append(LogLine(at=now, text=printable(text[:LOG_LINE]), cursor=cursor))
        seen = max((n for n, line in enumerate(lines) if line.cursor == after), default=-1)
        return lines[seen + 1 :]

    def bill(self, since: datetime, until: datetime) -> list[BillLine]:
        rows = (Row(item) for item in self._client.charges(since, until))
        return [_read_charge(row, since, until) for row in rows if row.text("type") == "instance"]


def _read_offer(row: Row, *, kind: Kind) -> Iterator[RawOffer]:
    cores, usable = row.maybe("cpu_cores", low=1), row.maybe("cpu_cores_effective", low=0.1)
    ram_gb = row.maybe("cpu_ram", low=1)
    region = row.text("geolocation", optional=True)
    country = region.rpartition(",")[2].strip()
    yield RawOffer(
        ref=row.ref("id"),
        gpu_name=row.text("gpu_name", limit=80),
        gpu_count=row.count("num_gpus"),
        vram_gb=row.number("gpu_ram", low=VRAM_GB[0] * MB_IN_GB, high=VRAM_GB[1] * MB_IN_GB) / MB_IN_GB,
        price_per_hour=row.price("min_bid" if kind == "spot" else "dph_base"),
        kind=kind,
        vcpus=usable,
        # The machine's memory is shared out like its cores.
        ram_gb=ram_gb / MB_IN_GB * (usable / cores if cores and usable else 1) if ram_gb else None,
        disk_gb=row.maybe("disk_space"),
        net_down_mbps=row.maybe("inet_down"),
        net_up_mbps=row.maybe("inet_up"),
        region=region[:80],
        country=country if len(country) == 2 and country.isupper() and country.isascii() else "",
        tier="datacenter" if row.maybe("hosting_type") == 1 else "community",
        reliability=row.maybe("reliability2", high=1.0),
        verified=row.text("verification", optional=True) == "verified",
        available_count=1,
        disk_price_gb_month=row.maybe_price("storage_cost"),
        egress_price_gb=row.maybe_price("inet_up_cost"),
        max_duration_s=int(row.maybe("duration", low=1) or 0) or None,
        extra={name: row.maybe(name) for name in ("machine_id", "cuda_max_good", "direct_port_count")},
    )


def _read_instance(row: Row) -> Instance:
    status = row.text("actual_status", optional=True)
    # So does an interrupted bid look as well as one that was stopped on request.
    halted = {row.text(name, optional=True) for name in ("cur_state", "intended_status", "next_state")} == {"stopped"}
    started = row.maybe("start_date", low=1, high=1e11)
    return Instance(
        ref=row.ref("id"),
        key=row.note("label", required=True),
        state="stopped" if halted else STATES.get(status, "booting"),
        price_per_hour=row.price("dph_base" if row.has("dph_base") else "dph_total"),
        ssh_host=row.text("ssh_host", optional=True),
        ssh_port=int(row.maybe("ssh_port", low=1, high=65535) or 0) or None,
        ports=_read_ports(row),
        message=row.note("status_msg"),
        started_at=datetime.fromtimestamp(started, UTC) if started else None,
    )


def _read_charge(row: Row, since: datetime, until: datetime) -> BillLine:
    """The contract's own times are those of its life; the sum is that of the days which were asked for."""
    ref = row.text("source").removeprefix("instance-")
    return BillLine(ref, row.amount("amount"), "USD", since, until)


def _read_ports(row: Row) -> dict[int, str]:
    """{"22/tcp": [{"HostPort": "20000"}]} at the machine's public address."""
    host = row.text("public_ipaddr", optional=True).strip()
    found = {}
    for name, places in row.child("ports").pairs() if row.has("ports") else ():
        inside = name.partition("/")[0]
        outside = Row(places[0]).text("HostPort", limit=5) if isinstance(places, list) and places else ""
        if inside.isdigit() and outside.isdigit() and host:
            found[int(inside)] = f"{host}:{outside}"
    return found


def _launch(request: LaunchRequest) -> dict[str, object]:
    flags = [f"-e {shlex.quote(f'{name}={value}')}" for name, value in request.env.items()]
    flags += [f"-p {port}:{port}" for port in request.ports]
    launch: dict[str, object] = {
        "image": request.image,
        "label": request.key,
        "disk": request.disk_gb,
        "env": " ".join(flags),
        "target_state": "running",
        "cancel_unavail": True,
        "runtype": "args" if request.command else "ssh_direct",
    }
    if request.command:
        launch["args"] = list(request.command)
    if request.kind == "spot" and request.max_price_per_hour:
        launch["price"] = float(request.max_price_per_hour.quantize(SIX_PLACES))  # JSON knows no decimals
    return launch
