"""The Spanish catalogue by Babel, without the system's gettext and without Django's settings.

`python -m lib.local.messages` compiles it (`make env`); `manage.py messages` extracts, compiles and checks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

CHECKOUT = Path(__file__).resolve().parents[2]
LOCALE = "es"
CATALOGUE = CHECKOUT / "locale" / LOCALE / "LC_MESSAGES" / "django.po"

# Packages whose sentences no customer reads, or that speak as somebody else.
SILENT = {"benchmarks", "sandbox", "tests"}
KEYWORDS = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
}
# What a translation has to keep: %(name)s, %s, {name} and the tags of a sentence with a link in it.
KEPT = re.compile(r"%\(\w+\)[a-z]|%[a-z]|\{\w*\}|</?[a-z]+")


def extract_messages() -> Catalog:
    """Every sentence of the apps and of the templates, each with the files that say it."""
    found = Catalog()
    for path in _sources():
        file = BytesIO(path.read_bytes() if path.suffix == ".py" else _as_python(path))
        for line, message, comments, context in extract("python", file, KEYWORDS, ["Translators"], {}):
            location = (path.relative_to(CHECKOUT).as_posix(), line)
            found.add(message, locations=[location], auto_comments=comments, context=context)
    return found


def update_catalogue() -> Catalog:
    """Bring the catalogue to what the sources say: new sentences are empty, unused ones go, nothing is guessed."""
    catalogue = read_catalogue()
    catalogue.update(extract_messages(), no_fuzzy_matching=True, update_creation_date=False)
    file = BytesIO()
    # File names without lines: a moved line is no change of the catalogue.
    write_po(file, catalogue, width=120, sort_output=True, ignore_obsolete=True, include_lineno=False)
    _replace(CATALOGUE, file)
    return catalogue


def compile_catalogue() -> None:
    file = BytesIO()
    write_mo(file, read_catalogue())
    _replace(CATALOGUE.with_suffix(".mo"), file)


def read_catalogue() -> Catalog:
    return read_po(CATALOGUE.read_bytes().splitlines(keepends=True), locale=LOCALE)


def problems() -> list[str]:
    """Sentences of the sources that have no translation, a doubtful one, or one that lost a placeholder."""
    return problems_of(extract_messages(), read_catalogue())


def problems_of(sources: Catalog, catalogue: Catalog) -> list[str]:
    found = []
    for message in filter(lambda message: message.id, sources):  # the header has no id
        if problem := _problem(message, catalogue.get(message.id, message.context)):
            files = ", ".join(sorted({name for name, _line in message.locations}))
            found.append(f"{problem}: {_forms(message.id)[0]!r} ({files})")
    return found


def _problem(message: Message, translation: Message | None) -> str:
    if translation is None or _forms(translation.id) != _forms(message.id):
        return "not in the catalogue"
    if not all(_forms(translation.string)):
        return "not translated"
    if translation.fuzzy:
        return "fuzzy"
    return "" if _keeps_placeholders(_forms(message.id), _forms(translation.string)) else "placeholders or tags differ"


def _keeps_placeholders(source: tuple[str, ...], translation: tuple[str, ...]) -> bool:
    """The singular may say "one" where the plural says %(n)d; the plural needs all of its own."""
    *singulars, last = ({*KEPT.findall(form.replace("%%", ""))} for form in translation)
    wanted = {*KEPT.findall(source[-1].replace("%%", ""))}
    fewest = {*KEPT.findall(source[0].replace("%%", ""))} & wanted
    return last == wanted and all(fewest <= singular <= wanted for singular in singulars)


def _forms(text: str | list[str] | tuple[str, ...] | None) -> tuple[str, ...]:
    return tuple(text) if isinstance(text, list | tuple) else (text or "",)


def _sources() -> Iterator[Path]:
    packages = sorted(init.parent for init in CHECKOUT.glob("*/__init__.py") if init.parent.name not in SILENT)
    for package in packages:
        yield from sorted(path for path in package.rglob("*.py") if "migrations" not in path.parts)
    yield from sorted(path for path in (CHECKOUT / "templates").rglob("*") if path.suffix in {".html", ".txt"})


def _as_python(template: Path) -> bytes:
    """What Django makes of a template for xgettext, with the indentation taken away that Python would stumble over."""
    code = templatize(template.read_text(), origin=str(template))
    return "\n".join(line.strip() for line in code.splitlines()).encode()


def _replace(path: Path, content: BytesIO) -> None:
    """Whole or not at all: a running server may read the file at this moment."""
    new = path.with_suffix(f"{path.suffix}.new")
    new.write_bytes(content.getvalue())
    new.replace(path)


if __name__ == "__main__":
    compile_catalogue()
