"""Lambda in the words of the provider contract.

Lambda rents whole virtual machines: an offer is an instance type in a region that has capacity, priced in US cents/h
for all its GPUs. Our image runs there as a container that cloud-init starts. There is no stop, no spot and no log API.
The instance's name carries our key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from decimal import Decimal

from marketplace.providers.base import (
    Account,
    Capability,
    Instance,
    InstanceState,
    LaunchRequest,
    OfferGone,
    RawOffer,
    Rejected,
)
from marketplace.providers.lambda_labs.client import LIVE_URL, LambdaClient
from marketplace.providers.wire import NotThere, RefusedRow, Row, is_too_dear, read_instances, read_offers

CENTS = Decimal(100)
REF_SEPARATOR = "|"
VRAM = re.compile(r"\((\d+) GB")
COUNTRIES = {
    "Australia": "AU",
    "Germany": "DE",
    "India": "IN",
    "Israel": "IL",
    "Italy": "IT",
    "Japan": "JP",
    "USA": "US",
}
STATES: Mapping[str, InstanceState] = {
    "booting": "booting",
    "active": "running",
    "unhealthy": "failed",
    "preempted": "failed",
    "terminating": "exited",
    "terminated": "gone",
}


class Adapter:
    slug = "lambda_labs"
    name = "Lambda"
    capabilities: frozenset[Capability] = frozenset({"list", "rent", "ssh"})
    keyless_listing = False

    def __init__(self, account: Account) -> None:
        self.refused: list[str] = []
        self._client = LambdaClient(account, LIVE_URL)

    def list_offers(self) -> list[RawOffer]:
        self.refused = []
        rows = [row for _, row in self._client.instance_types()]
        return read_offers(self.name, rows, _read_offer, self.refused)

    def create(self, request: LaunchRequest) -> Instance:
        if request.kind != "on_demand":
            raise Rejected(f"{self.name}: there is no {request.kind} here.")
        if found := self.find(request.key):
            return found
        instance = self.get(self._client.launch(_launch(request, self._ssh_key(request))))
        if is_too_dear(instance, request):
            self.terminate(instance.ref)
            raise OfferGone(f"{self.name}: the price rose to {instance.price_per_hour} USD/h; the instance was ended.")
        return instance

    def _ssh_key(self, request: LaunchRequest) -> str:
        """Lambda starts nothing without exactly one key that it knows."""
        if isinstance(name := request.extra.get("ssh_key_name"), str) and name:
            return name
        names = self._client.ssh_key_names()
        if not names:
            raise Rejected(f"{self.name}: add an SSH key to the account first.")
        return names[0]

    def find(self, key: str) -> Instance | None:
        """The living instance of that key: one that is terminating is none."""
        ended = ("exited", "gone")
        return next((one for one in self.list_instances() if one.key == key and one.state not in ended), None)

    def get(self, ref: str) -> Instance:
        row = self._client.instance(ref)
        return _read_instance(row) if row else Instance(ref=ref, key="", state="gone")

    def list_instances(self) -> list[Instance]:
        return read_instances(self.name, self._client.instances(), _read_instance)

    def terminate(self, ref: str) -> None:
        with suppress(NotThere):
            self._client.terminate(ref)


def _read_offer(row: Row) -> Iterator[RawOffer]:
    kind, specs = row.child("instance_type"), row.child("instance_type").child("specs")
    if specs.count("gpus", low=0) == 0:
        return
    described = kind.text("gpu_description", limit=80)
    if not (vram := VRAM.search(described)):
        raise RefusedRow(f"no VRAM in “{described}”")
    regions = [Row(region) for region in row.items("regions_with_capacity_available")]
    places = {region.text("name", limit=40): _country(region.note("description")) for region in regions}
    for region, country in (places or {"": ""}).items():
        yield RawOffer(
            ref=f"{kind.text('name', limit=80)}{REF_SEPARATOR}{region}",
            gpu_name=described,
            gpu_count=specs.count("gpus"),
            vram_gb=float(vram[1]),
            price_per_hour=kind.price("price_cents_per_hour", highest=Decimal(1_000_000)) / CENTS,
            vcpus=specs.maybe("vcpus"),
            ram_gb=specs.maybe("memory_gib"),
            disk_gb=specs.maybe("storage_gib"),
            region=region,
            country=country,
            available_count=None if region else 0,
            disk_price_gb_month=Decimal(0),
            egress_price_gb=Decimal(0),
        )


def _country(description: str) -> str:
    """The country in "California, USA"."""
    return COUNTRIES.get(description.rpartition(",")[2].strip(), "")


def _read_instance(row: Row) -> Instance:
    kind = row.child("instance_type")
    return Instance(
        ref=row.text("id"),
        key=row.note("name"),
        state=STATES.get(row.text("status"), "booting"),
        price_per_hour=kind.price("price_cents_per_hour", highest=Decimal(1_000_000)) / CENTS,
        ssh_host=row.text("ip", optional=True),
        ssh_port=22 if row.has("ip") else None,
        ssh_user="ubuntu",
        message=row.text("status"),
    )


def _launch(request: LaunchRequest, ssh_key: str) -> dict[str, object]:
    kind, _, region = request.offer_ref.partition(REF_SEPARATOR)
    if not (kind and region):
        raise OfferGone("Lambda: this type has no capacity in any region.")
    return {
        "instance_type_name": kind,
        "region_name": region,
        "ssh_key_names": [ssh_key],
        "name": request.key,
        "user_data": _cloud_config(request),
    }


def _cloud_config(request: LaunchRequest) -> str:
    """cloud-init's commands as JSON, which is YAML too: no shell, so nothing to quote."""
    run = ["docker", "run", "--detach", "--name", "pod", "--gpus", "all", "--shm-size", "8g"]
    for name, value in request.env.items():
        run += ["--env", f"{name}={value}"]
    for port in request.ports:
        run += ["--publish", f"{port}:{port}"]
    return "#cloud-config\n" + json.dumps({"runcmd": [[*run, request.image, *request.command]]})
