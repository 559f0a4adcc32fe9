"""The one normaliser: from the names that providers use to the slugs of `data/gpu_models.csv`.

A name is read into three facts: a family key ("a100", "rtx4090"), a form factor and a VRAM size. The key finds the
family by one dictionary look-up; form and VRAM choose the variant. Names in the table are read by the same function,
so that a new spelling is one more synonym there and no new rule here. The order of rows in the table decides what a
bare name means: the first variant that fits.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

from django.utils.translation import gettext as _

from lib.errors import Invalid

TABLE = Path(__file__).parent / "data" / "gpu_models.csv"
CPU = "cpu"
MAX_TERMS = 20
# Drivers report less than the label says (ECC, GiB against GB): 22.5 of 24, 262 of 288.
VRAM_TOLERANCE = 0.12
LARGEST_VRAM_GB = 300

Confidence = Literal["exact", "assumed", "vram_differs"]

NOT_A_GPU = re.compile(r"\btpu|inferentia|trainium|virtex|qualcomm|fpga|neuron", re.IGNORECASE)
AZURE_SIZE = re.compile(r"^standard_(?P<series>nc|nd|nv)[a-z0-9-]*_(?P<gpu>[a-z0-9]+)_v\d+$")
AZURE_FORMS = {"nd": "sxm", "nc": "pcie", "nv": "pcie"}
COUNT = re.compile(r"^\s*\d{1,2}\s?x\s+")
VRAM = re.compile(r"(?<![a-z0-9.])(\d{1,3})\s*(?:gib|gb|gi|g)\b")
# HGX boards and HBM3 (the PCIe card has HBM2e) mean SXM; FHHL is a short PCIe card.
FORM = re.compile(r"(?<![a-z])(sxm\d?(?:gdr)?|pcie|nvl(?!ink|\d)|oam|fhhl|hgx|hbm3)(?![a-z]{2})")
FORMS = {"fhhl": "pcie", "hgx": "sxm", "hbm3": "sxm"}
BRANDS = re.compile(r"nvidia|geforce|tesla|\bamd\b|radeon|instinct|intel|habana|\(r\)|\(tm\)|[®™]")
NOISE = re.compile(
    r"\b(?:gpus?|graphics|generation|blackwell|edition|data center|hbm\d?e?|nvlink|nvl72|cc|mega|vws|mod|high|freq)\b"
)
BARE_SIZE = re.compile(r"^(?P<name>.+?)[\s-]+(?P<vram>\d{1,3})$")


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """One row of the table. Rates are per GPU; `fp16_dense_tflops` follows the convention of data/README.md."""

    slug: str
    vendor: str
    name: str
    architecture: str
    form_factor: str
    kind: str
    vram_gb: float
    memory_gb_s: float | None
    fp16_dense_tflops: float | None
    tdp_w: int | None
    released_year: int | None
    synonyms: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class GpuMatch:
    """`exact`: one variant fits. `assumed`: several fit. `vram_differs`: the family is known, this size of it is not."""

    slug: str
    confidence: Confidence
    why: str


@dataclass(frozen=True, slots=True)
class NameFacts:
    key: str
    form_factor: str
    vram_gb: float | None


@cache
def load_models() -> tuple[GpuFacts, ...]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(_read_model(row) for row in csv.DictReader(file))


@cache
def models_by_slug() -> dict[str, GpuFacts]:
    return {model.slug: model for model in load_models()}


def _read_model(row: dict[str, str]) -> GpuFacts:
    return GpuFacts(
        slug=row["slug"],
        vendor=row["vendor"],
        name=row["name"],
        architecture=row["architecture"],
        form_factor=row["form_factor"],
        kind=row["kind"],
        vram_gb=float(row["vram_gb"]),
        memory_gb_s=float(row["memory_gb_s"]) if row["memory_gb_s"] else None,
        fp16_dense_tflops=float(row["fp16_dense_tflops"]) if row["fp16_dense_tflops"] else None,
        tdp_w=int(row["tdp_w"]) if row["tdp_w"] else None,
        released_year=int(row["released_year"]) if row["released_year"] else None,
        synonyms=tuple(filter(None, row["synonyms"].split("|"))),
        source=row["source"],
    )


@cache
def _families() -> dict[str, tuple[GpuFacts, ...]]:
    families: dict[str, dict[str, GpuFacts]] = {}
    for model in load_models():
        label = model.name.partition("(")[0]
        for name in (label, *model.synonyms):
            families.setdefault(read_name(name).key, {})[model.slug] = model
    return {key: tuple(models.values()) for key, models in families.items()}


@lru_cache(maxsize=8192)
def read_name(name: str) -> NameFacts:
    """The family key, form factor and VRAM that a name states. Knows no models."""
    text = name.lower().strip()
    form = ""
    if azure := AZURE_SIZE.match(text):
        text, form = azure["gpu"], AZURE_FORMS[azure["series"]]
    text = COUNT.sub("", BRANDS.sub(" ", text.replace("_", " ")))
    vram = _stated_vram(text)
    form = _stated_form(text) or form
    text = NOISE.sub(" ", FORM.sub(" ", VRAM.sub(" ", text)))
    return NameFacts(re.sub(r"[^a-z0-9]", "", text), form, vram)


def _stated_vram(text: str) -> float | None:
    sizes = [int(size) for size in VRAM.findall(text)]
    return next((float(size) for size in sizes if 0 < size <= LARGEST_VRAM_GB), None)


def _stated_form(text: str) -> str:
    words = [FORMS.get(word, "sxm" if word.startswith("sxm") else word) for word in FORM.findall(text)]
    return next((word for word in words if word != "sxm"), words[0] if words else "")


def _family(name: str) -> tuple[NameFacts, tuple[GpuFacts, ...]]:
    """A name's facts and its family; "a100 sxm 80" and our own slugs end in a bare VRAM size."""
    said = read_name(name)
    models = _families().get(said.key, ())
    if not models and (sized := BARE_SIZE.match(name.strip().replace("_", " "))):
        said = read_name(sized["name"])
        models = _families().get(said.key, ())
        said = NameFacts(said.key, said.form_factor, float(sized["vram"]))
    return said, models


@lru_cache(maxsize=16384)
def normalise_gpu(name: str, *, vram_gb: float | None = None, form_factor: str = "") -> GpuMatch | None:
    """The canonical model behind a provider's name, or None for what is no GPU or unknown to the table.

    `vram_gb` is per GPU and beats a size in the name; `form_factor` helps where the name is silent.
    """
    if NOT_A_GPU.search(name):
        return None
    own = models_by_slug().get(name)
    if own and (vram_gb is None or _fits(own, vram_gb)):
        return GpuMatch(own.slug, "exact", "our own slug")
    said, models = _family(name)
    if not models:
        return None
    form = said.form_factor or read_name(form_factor).form_factor
    return _choose(models, form, vram_gb or said.vram_gb)


def _choose(models: Sequence[GpuFacts], form: str, vram_gb: float | None) -> GpuMatch:
    fitting = [model for model in models if model.form_factor == form] or list(models)
    if vram_gb:
        sized = [m for m in fitting if _fits(m, vram_gb)] or [m for m in models if _fits(m, vram_gb)]
        if not sized:
            nearest = min(fitting, key=lambda model: abs(model.vram_gb - vram_gb))
            return GpuMatch(nearest.slug, "vram_differs", f"{vram_gb:g} GB is not a size of {nearest.name}")
        least = min(abs(model.vram_gb - vram_gb) for model in sized)
        fitting = [model for model in sized if abs(model.vram_gb - vram_gb) == least]
    first, *others = fitting
    if others:
        return GpuMatch(first.slug, "assumed", "could also be " + ", ".join(model.slug for model in others))
    return GpuMatch(first.slug, "exact", "name, form factor and VRAM fit one model")


def _fits(model: GpuFacts, vram_gb: float) -> bool:
    return abs(model.vram_gb - vram_gb) <= VRAM_TOLERANCE * model.vram_gb


def explain_unknown(name: str) -> str:
    """Why `normalise_gpu` gave None, with the nearest names: for provider health and for people."""
    if NOT_A_GPU.search(name):
        return _("“%(name)s” is an accelerator, but not a GPU.") % {"name": name[:60]}
    near = _nearest(name)
    if not near:
        return _("“%(name)s” is not a GPU that we know.") % {"name": name[:60]}
    return _("“%(name)s” is not a GPU that we know. Near it: %(near)s.") % {"name": name[:60], "near": ", ".join(near)}


def _nearest(name: str) -> list[str]:
    keys = get_close_matches(read_name(name[:60]).key, _families(), n=3, cutoff=0.5)
    return list(dict.fromkeys(_families()[key][0].name for key in keys))


def parse_gpu_query(text: str) -> list[frozenset[str]]:
    """What a person searches for, as one set of slugs for each term: "h100 sxm, A100 80, rtx4090".

    A term means every variant that fits it: "A100" is all A100s. Raises Invalid (field `gpu`) for a term that
    names nothing, with the nearest names.
    """
    terms = [term.strip() for term in re.split(r"[,;|]", text) if term.strip()]
    if len(terms) > MAX_TERMS:
        message = _("Name at most %(count)s GPUs.") % {"count": MAX_TERMS}
        raise Invalid(message, fields={"gpu": [message]})
    return [_slugs_of(term) for term in terms]


def _slugs_of(term: str) -> frozenset[str]:
    if (slug := term.lower()) in models_by_slug():
        return frozenset({slug})
    said, models = _family(term) if not NOT_A_GPU.search(term) else (read_name(""), ())
    slugs = frozenset(
        model.slug
        for model in models
        if said.form_factor in ("", model.form_factor) and (said.vram_gb is None or _fits(model, said.vram_gb))
    )
    if not slugs:
        message = explain_unknown(term)
        raise Invalid(message, fields={"gpu": [message]})
    return slugs
