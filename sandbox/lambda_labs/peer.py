"""The Lambda stand-in: instance types, SSH keys, launch, restart, terminate."""

from __future__ import annotations

import base64
import re
import secrets
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.fleet import Instance
from sandbox.lambda_labs.types import REGIONS, InstanceType, Shelf, region
from sandbox.limits import Intervals
from sandbox.listeners import SSH_PORT
from sandbox.peer import Options, Peer
from sandbox.store import Store
from sandbox.wire import Json, Refuse, read_object

INTERVALS = {"call": 1.0, "launch": 12.0}
TERMINATING_S = 2.0
HOSTNAME = re.compile(r"[a-z0-9][0-9a-z-]{0,62}")
TAG = re.compile(r"[a-z][a-z0-9-:]+")
PORT_TAG = "sandbox:ssh-port"
STATUS = {"running": "active", "failed": "unhealthy", "exited": "unhealthy", "preempted": "preempted"}
BLOCKED = {"booting": "vm-has-not-launched", "terminating": "vm-is-terminating"}


def build(options: Options, store: Store) -> Peer:
    return LambdaPeer(options, store)


def failure(status: int, code: str, message: str, suggestion: str = "") -> Json:
    error = {"code": code, "message": message}
    return Json({"error": {**error, "suggestion": suggestion} if suggestion else error}, status)


def invalid(message: str) -> Json:
    return failure(400, "global/invalid-parameters", message)


class LambdaPeer(Peer):
    def __init__(self, options: Options, store: Store) -> None:
        super().__init__(options, store)
        self._shelf = Shelf(self.market, self.prices())
        self._intervals = Intervals(INTERVALS if options.strict_limits else {})

    def routes(self) -> Sequence[Route]:
        return [
            Route("/api/v1/instance-types", self.list_types, methods=["GET"]),
            Route("/api/v1/regions", self.list_regions, methods=["GET"]),
            Route("/api/v1/ssh-keys", self.list_keys, methods=["GET"]),
            Route("/api/v1/ssh-keys", self.add_key, methods=["POST"]),
            Route("/api/v1/ssh-keys/{id}", self.delete_key, methods=["DELETE"]),
            Route("/api/v1/instances", self.list_instances, methods=["GET"]),
            Route("/api/v1/instances/{id}", self.show, methods=["GET"]),
            Route("/api/v1/instances/{id}", self.rename, methods=["POST"]),
            Route("/api/v1/instance-operations/launch", self.launch, methods=["POST"]),
            Route("/api/v1/instance-operations/restart", self.restart, methods=["POST"]),
            Route("/api/v1/instance-operations/terminate", self.terminate, methods=["POST"]),
        ]

    def refuse(self, reason: str) -> Response:
        return {
            "auth": failure(
                401,
                "global/invalid-api-key",
                "API key was invalid, expired, or deleted.",
                "Check your API key or create a new one, then try again.",
            ),
            "rate_limit": failure(429, "global/rate-limited", "Too many requests.", "Wait, then try again."),
            "not_found": failure(404, "global/not-found", "The requested resource was not found."),
            "method": failure(405, "global/not-found", "The method is not allowed here."),
        }.get(reason) or failure(500, "provider/internal-unavailable", "Provider unavailable", "Try again shortly")

    def creates(self, method: str, path: str) -> bool:
        return method == "POST" and path == "/api/v1/instance-operations/launch"

    def limit(self, request: Request) -> Response | None:
        endpoint = "launch" if self.creates(request.method, request.url.path) else "call"
        return self.refuse("rate_limit") if self._intervals.take(endpoint) else None

    def check_key(self, request: Request) -> None:
        """`Authorization: Bearer <key>`, or Basic with the key as the user and no password."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return self.check_bearer(request)
        try:
            key = base64.b64decode(value, validate=True).decode().removesuffix(":")
        except ValueError:
            key = ""
        if not self.is_key(key):
            raise Refuse(self.refuse("auth"))

    async def body(self, request: Request) -> dict[str, Any]:
        self.check_key(request)
        return await read_object(request, bad=invalid("Invalid request data."))

    # What there is

    async def list_types(self, request: Request) -> Response:
        self.check_key(request)
        types = {
            kind.name: {
                "instance_type": self._shelf.describe(kind),
                "regions_with_capacity_available": [region(name) for name in self._shelf.regions(kind)],
            }
            for kind in self._shelf.types()
        }
        return Json({"data": types})

    async def list_regions(self, request: Request) -> Response:
        self.check_key(request)
        return Json({"data": [region(name) for name in REGIONS]})

    # SSH keys

    async def list_keys(self, request: Request) -> Response:
        self.check_key(request)
        return Json({"data": self.store.all("ssh_key")})

    async def add_key(self, request: Request) -> Response:
        body = await self.body(request)
        name, key = body.get("name"), body.get("public_key")
        if not isinstance(name, str) or not 1 <= len(name) <= 64:
            return invalid("name must have 1 to 64 characters.")
        if not isinstance(key, str) or not 1 <= len(key) <= 4096:
            return invalid("public_key is required here: this stand-in makes no keys.")
        if any(known["name"] == name for known in self.store.all("ssh_key")):
            return failure(400, "global/duplicate", "An SSH key with this name exists already.")
        added = {"id": secrets.token_hex(16), "name": name, "public_key": key}
        self.store.put("ssh_key", added["id"], added)
        return Json({"data": added})

    async def delete_key(self, request: Request) -> Response:
        self.check_key(request)
        id = request.path_params["id"]
        if self.store.get("ssh_key", id) is None:
            return self._no_object("Specified SSH key does not exist.")
        self.store.delete("ssh_key", id)
        return Json({"data": {}})

    # Instances

    async def launch(self, request: Request) -> Response:
        body = await self.body(request)
        wrong = _wrong_launch(body)
        if wrong:
            return invalid(wrong)
        kind, place = self._shelf.find(body["instance_type_name"]), body["region_name"]
        if kind is None:
            return self._no_object("Specified instance type does not exist.")
        if place not in REGIONS:
            return self._no_object("Specified region does not exist.")
        if body["ssh_key_names"][0] not in {key["name"] for key in self.store.all("ssh_key")}:
            return self._no_object("Specified SSH key does not exist.")
        if place not in self._shelf.regions(kind) or self.faults.take(request.url.path, {"no_capacity"}):
            code = "instance-operations/launch/insufficient-capacity"
            return failure(400, code, "Not enough capacity to fulfill launch request.", "Choose another region.")
        return Json({"data": {"instance_ids": [self._create(kind, body).id]}})

    def _create(self, kind: InstanceType, body: dict[str, Any]) -> Instance:
        return self.fleet.create(
            secrets.token_hex(16),
            price_hour=self._shelf.price(kind),
            disk_hour=Decimal(0),
            ports=[SSH_PORT],
            details={
                "name": body.get("name", ""),
                "region": body["region_name"],
                "type": self._shelf.describe(kind),
                "ssh_key_names": body["ssh_key_names"],
                "file_system_names": body.get("file_system_names", []),
                "hostname": body.get("hostname", ""),
                "tags": body.get("tags", []),
                "image": body.get("image", {}).get("family", "lambda-stack-24-04"),
                "token": secrets.token_hex(16),
                "host": self.options.host,
            },
        )

    def _no_object(self, message: str) -> Response:
        return failure(404, "global/object-does-not-exist", message, "Check the name and try again.")

    def _instance(self, id: str) -> Instance:
        """A living instance, or one that has ended a moment ago, as Lambda shows it."""
        instance = self.fleet.get(id)
        if instance is None or _gone(instance):
            raise Refuse(self._no_object("Specified instance does not exist."))
        return instance

    async def list_instances(self, request: Request) -> Response:
        self.check_key(request)
        return Json({"data": [show(item) for item in self.fleet.all() if not _gone(item)]})

    async def show(self, request: Request) -> Response:
        self.check_key(request)
        return Json({"data": show(self._instance(request.path_params["id"]))})

    async def rename(self, request: Request) -> Response:
        body = await self.body(request)
        instance, name = self._instance(request.path_params["id"]), body.get("name", "")
        if not isinstance(name, str) or len(name) > 64:
            return invalid("name must have at most 64 characters.")
        return Json({"data": show(self.fleet.describe(instance, lambda details: {**details, "name": name}))})

    async def restart(self, request: Request) -> Response:
        found = await self._named(request)
        if any(item.state not in ("running", "failed", "exited") for item in found):
            return failure(409, "global/conflict", "The request conflicts with the current state of the resource.")
        return Json({"data": {"restarted_instances": [show(self.fleet.start(item)) for item in found]}})

    async def terminate(self, request: Request) -> Response:
        found = await self._named(request)
        ended = [item if item.state == "terminated" else self.fleet.end(item, "terminated") for item in found]
        return Json({"data": {"terminated_instances": [show(item) for item in ended]}})

    async def _named(self, request: Request) -> list[Instance]:
        ids = (await self.body(request)).get("instance_ids")
        if not isinstance(ids, list) or not ids or not all(isinstance(id, str) for id in ids):
            raise Refuse(invalid("instance_ids is a list of ids."))
        return [self._instance(id) for id in ids]


def _wrong_launch(body: dict[str, Any]) -> str | None:
    for name in ("region_name", "instance_type_name"):
        if not isinstance(body.get(name), str):
            return f"{name} is required."
    keys = body.get("ssh_key_names")
    if not isinstance(keys, list) or len(keys) != 1 or not isinstance(keys[0], str):
        return "Exactly one SSH key must be specified."
    hostname, name = body.get("hostname"), body.get("name", "")
    if hostname is not None and (not isinstance(hostname, str) or not HOSTNAME.fullmatch(hostname)):
        return "hostname must have 1 to 63 lower-case letters, digits and hyphens."
    if not isinstance(name, str) or len(name) > 64:
        return "name must have at most 64 characters."
    if not isinstance(body.get("image", {}), dict):
        return "image has an id or a family."
    tags = body.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, dict) and _is_tag(tag) for tag in tags):
        return "tags have a key of lower-case letters and a value of at most 128 characters."
    return None


def _is_tag(tag: dict[str, Any]) -> bool:
    key, value = tag.get("key"), tag.get("value")
    return isinstance(key, str) and isinstance(value, str) and bool(TAG.fullmatch(key)) and len(value) <= 128


def _gone(instance: Instance) -> bool:
    return instance.state == "terminated" and time.time() > (instance.ended_at or 0) + TERMINATING_S


def show(instance: Instance) -> dict[str, Any]:
    details = instance.details
    running = instance.state == "running"
    status = {"booting": "booting", "terminated": "terminating", **STATUS}[instance.state]
    body = {
        "id": instance.id,
        "name": details["name"],
        "status": status,
        "ssh_key_names": details["ssh_key_names"],
        "file_system_names": details["file_system_names"],
        "region": region(details["region"]),
        "instance_type": details["type"],
        "hostname": details["hostname"] or details["host"],
        "actions": _actions(status),
        "tags": list(details["tags"]),
    }
    if running:
        jupyter = f"https://jupyter-{details['token']}.sandbox.invalid/?token={details['token']}"
        body |= {"ip": details["host"], "private_ip": "10.19.60.24"}
        body |= {"jupyter_token": details["token"], "jupyter_url": jupyter}
        # Lambda's instances listen on port 22; many of them on one loopback address cannot, so a tag tells the port.
        body["tags"].append({"key": PORT_TAG, "value": str(instance.ports[SSH_PORT])})
    return body


def _actions(status: str) -> dict[str, Any]:
    reason = BLOCKED.get(status)
    allowed = {"available": True}
    blocked = {"available": False, "reason_code": reason, "reason_description": f"The instance is {status}."}
    state = blocked if reason else allowed
    ending = blocked if status == "terminating" else allowed
    return {"migrate": state, "rebuild": state, "restart": state, "cold_reboot": state, "terminate": ending}
