from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.people import Person
from tests.tenancy.rows import Theirs, make_rows

if TYPE_CHECKING:
    from accounts.models import Organisation


@pytest.fixture
def theirs(organisation: Organisation, owner: Person, peer: Callable[[str], Any]) -> Theirs:
    """What the owner's organisation has. Stripe is there, to be asked about a card that it does not know."""
    peer("stripe")
    return make_rows(organisation, owner)
