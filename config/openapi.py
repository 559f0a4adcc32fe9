"""The description of the API as it is kept in docs/openapi.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from config.api import api
from config.environment import BASE_DIR

SNAPSHOT: Path = BASE_DIR / "docs" / "openapi.json"


def describe_api() -> dict[str, Any]:
    """As the address /api/v2/openapi.json answers it: plain JSON types only."""
    described: dict[str, Any] = json.loads(json.dumps(api.get_openapi_schema(), default=str))
    return described


def write_snapshot() -> None:
    SNAPSHOT.write_text(json.dumps(describe_api(), indent=1, ensure_ascii=False) + "\n")
