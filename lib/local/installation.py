"""What one installation on one machine is made of: its mode, folder, ports, secrets, and the environment of its parts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lib.local.anvil import find_anvil
from lib.local.ports import LOOPBACK, PortBusy, WrongSetting, choose_ports, is_free, named_port
from lib.local.postgres import OWNER, Postgres
from lib.local.valkey import Valkey
from lib.secrets import read_or_make_secret

CHECKOUT = Path(__file__).resolve().parents[2]
MODES = ("SANDBOX", "LIVE")
WEB_PORT = 8000
# Each peer with the variable of its address, and those of the key that it and our adapter share.
PEERS = {
    "vast": ("VAST_URL", "VAST_API_KEY"),
    "runpod": ("RUNPOD_URL", "RUNPOD_API_KEY"),
    "lambda_labs": ("LAMBDA_URL", "LAMBDA_API_KEY"),
    "akash": ("AKASH_URL", "AKASH_API_KEY"),
    "paypal": ("PAYPAL_URL", ""),
    "stripe": ("STRIPE_URL", ""),
    **({"chain": ("CHAIN_URL", "")} if find_anvil() else {}),
}
PAYPAL_SECRETS = ("PAYPAL_CLIENT_ID", "PAYPAL_CLIENT_SECRET", "PAYPAL_WEBHOOK_ID")
# With the prefix by which Stripe tells them apart.
STRIPE_SECRETS = {
    "STRIPE_SECRET_KEY": "sk_test_",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_",
    "STRIPE_WEBHOOK_SECRET": "whsec_",
}


@dataclass(frozen=True)
class Installation:
    """Read from the environment by `read`; making it chooses ports but writes no more than their file."""

    mode: str
    state_dir: Path
    host: str
    ports: Mapping[str, int]
    nodes: int
    given: Mapping[str, str]

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Installation:
        mode = read_mode(given)
        state_dir = find_state_dir(given)
        host = given.get("HOST") or LOOPBACK
        nodes = given.get("NODES") or ("2" if mode == "SANDBOX" else "0")
        if not nodes.isdecimal() or int(nodes) > 16:
            raise WrongSetting(f"NODES is {nodes}; it can be a number from 0 to 16.")
        return cls(mode, state_dir, host, _choose(state_dir, host, mode, given), int(nodes), given)

    @property
    def sandbox(self) -> bool:
        return self.mode == "SANDBOX"

    @property
    def secrets(self) -> Path:
        return self.state_dir / "secrets"

    @property
    def local_url(self) -> str:
        """Where the web server answers on this machine."""
        host = LOOPBACK if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104  (compared, not bound)
        return f"http://{host}:{self.ports['PORT']}"

    @property
    def public_url(self) -> str:
        return self.given.get("PUBLIC_URL") or self.local_url

    @property
    def staff_email(self) -> str:
        return self.given.get("STAFF_EMAIL") or "staff@gpubroker.example"

    @property
    def staff_password_file(self) -> Path:
        return self.secrets / "staff_password"

    @cached_property
    def postgres(self) -> Postgres | None:
        """None when DATABASE_URL names another server."""
        if self.given.get("DATABASE_URL"):
            return None
        return Postgres(self.state_dir / "pg", self.secrets, self.ports["PG_PORT"])

    @cached_property
    def valkey(self) -> Valkey | None:
        """None when REDIS_URL names another server."""
        if self.given.get("REDIS_URL"):
            return None
        return Valkey(self.state_dir / "valkey", self.secrets, self.ports["VALKEY_PORT"])

    def environment(self) -> dict[str, str]:
        """What the parts get beside what this process has; config/settings.py reads it."""
        for name, kind in (("secret_key", "token"), ("field_key", "fernet"), ("staff_password", "token")):
            read_or_make_secret(self.secrets / name, kind=kind)
        database = self.postgres.url() if self.postgres else self.given["DATABASE_URL"]
        owner = self.postgres.url(OWNER) if self.postgres else self.given.get("DATABASE_OWNER_URL") or database
        return {
            "MODE": self.mode,
            "STATE_DIR": str(self.state_dir),
            "HOST": self.host,
            "PORT": str(self.ports["PORT"]),
            "PUBLIC_URL": self.public_url,
            "NODES": str(self.nodes),
            "STAFF_EMAIL": self.staff_email,
            "DATABASE_URL": database,
            "DATABASE_OWNER_URL": owner,
            "REDIS_URL": self.valkey.url if self.valkey else self.given["REDIS_URL"],
            **(self._peer_environment() if self.sandbox else {}),
        }

    def _peer_environment(self) -> dict[str, str]:
        """Addresses and made-up keys. They win over real ones that happen to be set: SANDBOX never meets a provider."""
        key = read_or_make_secret(self.secrets / "peer_key")
        values = {"PEER_KEY": key}
        for name, (address, api_key) in PEERS.items():
            values[address] = f"http://{LOOPBACK}:{self.ports[peer_port(name)]}"
            if api_key:
                values[api_key] = key
        for name in PAYPAL_SECRETS:
            values[name] = read_or_make_secret(self.secrets / name.lower())
        for name, prefix in STRIPE_SECRETS.items():
            values[name] = prefix + read_or_make_secret(self.secrets / name.lower())
        values["STRIPE_JS_URL"] = values["STRIPE_URL"] + "/sandbox/js/v3.js"
        return values

    def write_run_env(self) -> None:
        """So that `manage.py` works beside a running installation. Holds passwords: mode 0600."""
        draft = self.state_dir / "run.env.new"
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.writelines(f"{name}={value}\n" for name, value in self.environment().items())
        draft.replace(self.state_dir / "run.env")


def read_mode(given: Mapping[str, str]) -> str:
    mode = given.get("MODE", "").upper() or "SANDBOX"
    if mode not in MODES:
        raise WrongSetting(f"MODE is {mode}; it can be SANDBOX or LIVE.")
    return mode


def find_state_dir(given: Mapping[str, str]) -> Path:
    """The folder of this mode, made when absent."""
    mode = read_mode(given)
    state_dir = Path(given.get("STATE_DIR") or CHECKOUT / ".local" / mode.lower()).absolute()
    # Pods may run as another user below nodes/; everything private has a closed folder of its own.
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
    return state_dir


def peer_port(name: str) -> str:
    return f"PEER_PORT_{name.upper()}"


def _choose(state_dir: Path, host: str, mode: str, given: Mapping[str, str]) -> dict[str, int]:
    """PORT is 8000 unless named, so that the address is known beforehand; all other ports are free ones."""
    port = named_port(given, "PORT") or WEB_PORT
    if not is_free(port, host):
        raise PortBusy("PORT", port)
    named = dict(given)
    wanted = ["PG_PORT", "VALKEY_PORT"]
    if mode == "SANDBOX":
        wanted += [peer_port(name) for name in PEERS]
        if first := named_port(given, "PEER_PORTS"):
            named.update({peer_port(name): str(first + index) for index, name in enumerate(PEERS)})
    return {"PORT": port, **choose_ports(state_dir / "ports.json", wanted, named)}
