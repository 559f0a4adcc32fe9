"""Routes for agents (enrolment, checkpoints) and for people (nodes, checkpoints, failovers)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from django.db.models import F
from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema, Status
from ninja.security.base import AuthBase
from pydantic import Field

from accounts.access import current_organisation
from accounts.models import Organisation
from accounts.requests import Request
from accounts.roles import Permission
from catalyst import checkpoints, nodes, offers
from catalyst.access import get_own_node, nodes_seen_by
from catalyst.agent.protocol import Manifest
from catalyst.models import Checkpoint, Failover, Node, NodePod
from catalyst.nodes import ACTIVE_STATES
from lib.errors import NotFound
from lib.lists import page_of
from lib.money import money_json
from lib.rate import limit
from pods.access import get_pod

router = Router(tags=["catalyst"])


class NodeKey(AuthBase):
    """`Authorization: Node <node_id>:<node_key>`"""

    openapi_type = "http"

    def __call__(self, request: HttpRequest) -> Node | None:
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        node_id, colon, key = rest.partition(":")
        return nodes.authenticate(node_id, key) if scheme == "Node" and colon else None


agent = Router(auth=NodeKey(), tags=["agents"])


class Share(Schema):
    vcpus: float = Field(gt=0, le=4096)
    ram_gb: float = Field(gt=0, le=65536)
    disk_gb: float = Field(gt=0, le=10_000_000)


class EnrolIn(Schema):
    token: str = Field(max_length=200)
    name: str = Field(max_length=63)
    machine: dict[str, Any]
    share: Share


class EnrolOut(Schema):
    node_id: str
    node_key: str
    public_url: str


class Hashes(Schema):
    chunks: list[str] = Field(max_length=20_000)


class ManifestFileIn(Schema):
    path: str = Field(min_length=1, max_length=1000)
    mode: int = Field(ge=0, le=0o7777)
    size: int = Field(ge=0)
    chunks: list[str]


class ManifestIn(Schema):
    """As `catalyst.agent.protocol.Manifest`."""

    sequence: int = Field(ge=0)
    parent: str | None = Field(None, max_length=64)
    root: str = Field(max_length=64)
    step: int = Field(ge=0)
    size: int = Field(ge=0)
    files: list[ManifestFileIn]


class NodePriceIn(Schema):
    price_per_hour: Decimal = Field(description="USD for one slot, with at most 4 decimal places.")


class Missing(Schema):
    missing: list[str]


class Committed(Schema):
    sequence: int


@router.post("nodes/enroll", auth=None, response={201: EnrolOut}, tags=["agents"])
def enroll(request: Request, body: EnrolIn) -> Status[dict[str, str]]:
    limit(request, "node-enrol", per_minute=30)
    enrolled = nodes.enrol(token=body.token, name=body.name, machine=body.machine, share=body.share.model_dump())
    public_url = request.build_absolute_uri("/").rstrip("/")
    return Status(201, {"node_id": str(enrolled.node.pk), "node_key": enrolled.key, "public_url": public_url})


@agent.post("nodes/pods/{uuid:pod}/{int:epoch}/chunks/missing", response=Missing)
def find_missing_chunks(request: Request, pod: UUID, epoch: int, body: Hashes) -> dict[str, list[str]]:
    checkpoints.require_placed(node_of(request), pod, epoch)
    return {"missing": checkpoints.missing_chunks(body.chunks)}


@agent.put("nodes/pods/{uuid:pod}/{int:epoch}/chunks/{digest}", response={204: None})
def put_chunk(request: Request, pod: UUID, epoch: int, digest: str) -> Status[None]:
    checkpoints.require_placed(node_of(request), pod, epoch)
    checkpoints.put_chunk(digest, request.body)
    return Status(204, None)


@agent.get("nodes/pods/{uuid:pod}/{int:epoch}/chunks/{digest}")
def get_chunk(request: Request, pod: UUID, epoch: int, digest: str) -> HttpResponse:
    checkpoints.require_placed(node_of(request), pod, epoch)
    checkpoints.require_chunk_of(pod, digest)
    return HttpResponse(checkpoints.get_chunk(digest), content_type="application/octet-stream")


@agent.post("nodes/pods/{uuid:pod}/{int:epoch}/checkpoints", response={201: Committed})
def commit_checkpoint(request: Request, pod: UUID, epoch: int, body: ManifestIn) -> Status[dict[str, int]]:
    checkpoints.require_placed(node_of(request), pod, epoch)
    row = checkpoints.commit(pod_id=pod, epoch=epoch, manifest=cast(Manifest, body.model_dump()))
    return Status(201, {"sequence": row.sequence})


@agent.get("nodes/pods/{uuid:pod}/{int:epoch}/checkpoints/latest")
def latest_checkpoint(request: Request, pod: UUID, epoch: int) -> Any:
    checkpoints.require_placed(node_of(request), pod, epoch)
    row = checkpoints.latest(pod)
    if row is None:
        raise NotFound("There is no checkpoint yet.")
    return row.manifest


@router.get("nodes/")
def list_nodes(request: Request, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """Nodes of the organisation and of this installation, with the organisation's own pods on them."""
    organisation = current_organisation(request.actor, Permission.SEE_PODS)
    mine = NodePod.objects.filter(pod__organisation=organisation, state__in=ACTIVE_STATES)
    held: dict[UUID, list[str]] = {}
    for row in mine.filter(epoch=F("pod__epoch")).select_related("pod"):
        held.setdefault(row.node_id, []).append(row.pod.public_id)
    rows = nodes_seen_by(request.actor)

    def show(node: Node) -> dict[str, Any]:
        return _show_node(node, organisation) | {"pods": held.get(node.pk, [])}

    return page_of(rows, limit=limit, cursor=cursor, show=show)


@router.patch("nodes/{node_id}")
def set_node_price(request: Request, node_id: str, body: NodePriceIn) -> dict[str, Any]:
    """What a slot of the organisation's own node costs pods that start from now on."""
    node = get_own_node(request.actor, node_id, Permission.MANAGE_BILLING)
    changed = offers.set_price(node=node, price=body.price_per_hour, actor=request.actor)
    return _show_node(changed, node.organisation)


@router.get("jobs/{pod_id}/checkpoints")
def list_checkpoints(request: Request, pod_id: str, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    pod = get_pod(request.actor, pod_id, Permission.SEE_PODS)
    rows = Checkpoint.objects.filter(pod=pod)
    return page_of(rows, limit=limit, cursor=cursor, show=_show_checkpoint)


@router.get("failovers/")
def list_failovers(request: Request, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    organisation = current_organisation(request.actor, Permission.SEE_PODS)
    rows = Failover.objects.filter(pod__organisation=organisation).select_related("pod", "from_node", "to_node")
    return page_of(rows, limit=limit, cursor=cursor, show=_show_failover)


def node_of(request: Request) -> Node:
    node: Node = request.auth  # type: ignore[attr-defined]
    return node


def _show_node(node: Node, reader: Organisation | None) -> dict[str, Any]:
    return {
        "id": node.public_id,
        "name": node.name,
        "status": node.status,
        "is_local": node.is_local,
        "is_own": node.organisation_id is not None and node.organisation == reader,
        "price_per_hour": money_json(node.price_per_hour, "USD"),
        "slots": node.slots,
        "gpus": [gpu.get("name") for gpu in node.machine.get("gpus") or []],
        "last_beat_at": node.last_beat_at,
    }


def _show_checkpoint(row: Checkpoint) -> dict[str, Any]:
    return {
        "sequence": row.sequence,
        "epoch": row.epoch,
        "step": row.step,
        "size_bytes": row.size_bytes,
        "root": row.root,
        "committed_at": row.committed_at,
    }


def _show_failover(row: Failover) -> dict[str, Any]:
    return {
        "pod": row.pod.public_id,
        "from_epoch": row.from_epoch,
        "to_epoch": row.to_epoch,
        "from_node": row.from_node.name if row.from_node else None,
        "to_node": row.to_node.name if row.to_node else None,
        "cause": row.cause,
        "last_seen_at": row.last_seen_at,
        "detected_at": row.detected_at,
        "resumed_at": row.resumed_at,
    }


router.add_router("", agent)
