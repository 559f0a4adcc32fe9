from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.people import Person
from tests.tenancy.rows import Theirs, make_rows

if TYPE_CHECKING:
    from accounts.models import Organisation


@pytest.fixture
def theirs(organisation: Organisation, owner: Person) -> Theirs:
    """What the owner's organisation has."""
    return make_rows(organisation, owner)
