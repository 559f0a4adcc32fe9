"""Ecuador's tax ids: length and digits are errors, a company's failed checksum is a warning."""

from __future__ import annotations

import pytest

from enrollment.identities import validate_cedula, validate_identity, validate_ruc
from enrollment.models import IdentityKind

# 1710034065 is the example of python-stdnum's documentation for a cédula; the RUC is that person's first establishment.
CEDULA = "1710034065"
PERSON_RUC = "1710034065001"
COMPANY_RUC = "1792060346001"


@pytest.mark.parametrize("text", [CEDULA, " 171003406-5 ", "17 1003 4065"])
def test_a_valid_cedula(text: str) -> None:
    assert validate_cedula(text).valid


@pytest.mark.parametrize(
    "text", ["", "171003406", "17100340650", "1710034066", "9910034065", "17100340a5", "١٧١٠٠٣٤٠٦٥"]
)
def test_a_wrong_cedula(text: str) -> None:
    verdict = validate_cedula(text)
    assert not verdict.valid
    assert verdict.message


@pytest.mark.parametrize("text", [PERSON_RUC, COMPANY_RUC])
def test_a_valid_ruc(text: str) -> None:
    verdict = validate_ruc(text)
    assert (verdict.valid, verdict.warning) == (True, False)


@pytest.mark.parametrize("text", ["", CEDULA, "1710034066001", "1710034065000", "9910034065001", "171003406500x"])
def test_a_wrong_ruc(text: str) -> None:
    assert not validate_ruc(text).valid


def test_a_companys_failed_checksum_is_only_a_warning() -> None:
    verdict = validate_ruc("1792060347001")
    assert (verdict.valid, verdict.warning) == (True, True)


def test_told_apart_by_length() -> None:
    assert validate_identity(CEDULA).kind == IdentityKind.CEDULA
    assert validate_identity(PERSON_RUC).kind == IdentityKind.RUC
    assert not validate_identity("123").valid
