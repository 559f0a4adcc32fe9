"""Tax ids of Ecuador. Wrong length or digits are errors; a failed checksum of a company's RUC only a warning,

because the tax office has issued company numbers that the old rule refuses.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _
from stdnum.ec import ci, ruc
from stdnum.exceptions import ValidationError as StdnumError

from enrollment.models import IdentityKind

PROVINCES = {*range(1, 25), 30}
COMPANY_DIGITS = "69"  # third digit: 9 private company, 6 public body, 0–5 a person


@dataclass(frozen=True, slots=True)
class Verdict:
    """`warning` tells that a valid number deserves a second look."""

    valid: bool
    kind: IdentityKind
    message: str
    warning: bool = False


def validate_cedula(text: str) -> Verdict:
    digits = _digits(text)
    kind = IdentityKind.CEDULA
    if len(digits) != 10 or not digits.isdigit():
        return Verdict(False, kind, _("A cédula has 10 digits."))
    if int(digits[:2]) not in PROVINCES:
        return Verdict(False, kind, _("The first two digits are not those of a province."))
    try:
        ci.validate(digits)
    except StdnumError:
        return Verdict(False, kind, _("This is not a valid cédula: its last digit does not match."))
    return Verdict(True, kind, _("Valid cédula."))


def validate_ruc(text: str) -> Verdict:
    digits = _digits(text)
    kind = IdentityKind.RUC
    if len(digits) != 13 or not digits.isdigit():
        return Verdict(False, kind, _("A RUC has 13 digits."))
    if int(digits[:2]) not in PROVINCES:
        return Verdict(False, kind, _("The first two digits are not those of a province."))
    if digits.endswith("000"):
        return Verdict(False, kind, _("A RUC ends with the number of the establishment, from 001 on."))
    try:
        ruc.validate(digits)
    except StdnumError:
        if digits[2] in COMPANY_DIGITS:
            message = _("The check digit does not match. Newer companies may have such a number: please check it.")
            return Verdict(True, kind, message, warning=True)
        return Verdict(False, kind, _("This is not a valid RUC: its check digit does not match."))
    return Verdict(True, kind, _("Valid RUC."))


def validate_identity(text: str) -> Verdict:
    """A RUC or a cédula, told apart by length."""
    length = len(_digits(text))
    if length == 13:
        return validate_ruc(text)
    if length == 10:
        return validate_cedula(text)
    return Verdict(False, IdentityKind.NONE, _("Write a RUC of 13 digits or a cédula of 10."))


def _digits(text: str) -> str:
    return text.replace(" ", "").replace("-", "").strip()
