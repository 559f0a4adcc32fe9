"""One whole installation for all journeys: real processes, as `make run` starts them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import Site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("site")
    site = Site(folder / "sandbox")
    site.start()
    yield site
    assert site.stop() == 0
