"""Providers' names for GPUs become canonical slugs, and people's queries become sets of them."""

from __future__ import annotations

import ast
import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.errors import Invalid
from marketplace import gpus

CATALOG = Path(__file__).parents[3] / "shared" / "data" / "catalog"
DATA = Path(gpus.__file__).parent / "data"

# name | VRAM per GPU as the provider states it | slug
CASES = """
RTX 4090|23.99|rtx-4090
RTX 4090||rtx-4090
RTX 4090 D||rtx-4090-d
RTX 4080S||rtx-4080-super
RTX 4070S Ti||rtx-4070-ti-super
RTX 4070S||rtx-4070-super
RTX 2080 Ti|11|rtx-2080-ti
RTX 2070S||rtx-2070-super
GTX 1660 S||gtx-1660-super
GTX 1080 Ti||gtx-1080-ti
RTX 3060|12|rtx-3060
RTX 3060|8|rtx-3060-8
RTX 3080|10|rtx-3080
RTX 3080|12|rtx-3080-12
RTX 4060 Ti|16|rtx-4060-ti-16
RTX 4060 Ti|8|rtx-4060-ti
RTX 5060 Ti|15.93|rtx-5060-ti
RTX 5060 Ti|7.96|rtx-5060-ti-8
RTX 5090|31.8|rtx-5090
A100 SXM4|80|a100-sxm-80
A100 SXM4|39.5|a100-sxm-40
A100 PCIE|80|a100-pcie-80
A100 PCIE|40|a100-pcie-40
A100X||a100-pcie-80
H100 SXM|79.6|h100-sxm-80
H100 PCIE|79.6|h100-pcie-80
H100 NVL|93.6|h100-nvl-94
H200|140.4|h200-sxm-141
H200 NVL|140.4|h200-nvl-141
GH200 SXM|95|gh200-96
B200|178.8|b200
B300 SXM6 AC|275|b300
Q RTX 8000|45|quadro-rtx-8000
Q RTX 6000|24|quadro-rtx-6000
Q RTX 4000|8|quadro-rtx-4000
RTX 6000Ada|44.99|rtx-6000-ada
RTX 5000Ada|31.99|rtx-5000-ada
RTX 4000Ada||rtx-4000-ada
RTX PRO 6000 WS|95.59|rtx-pro-6000
RTX PRO 6000 S|95.6|rtx-pro-6000-server
RTX PRO 5000|47.79|rtx-pro-5000
RTX PRO 5000|71.7|rtx-pro-5000-72
RTX A6000|47.99|rtx-a6000
RTX A2000|6|rtx-a2000
RTX A2000|12|rtx-a2000-12
Tesla V100|16|v100-sxm-16
Tesla V100|32|v100-sxm-32
Tesla P40|24|p40
Tesla K80|12|k80
Tesla T4|15|t4
Titan V||titan-v
Titan RTX||titan-rtx
InstinctMI250X|128|mi250x
InstinctMI100||mi100
Radeon VII|16|radeon-vii
RX 7900 XTX|24|rx-7900-xtx
PRO W7900|48|radeon-pro-w7900
NVIDIA GeForce RTX 4090|24|rtx-4090
NVIDIA GeForce RTX 3080 Ti|12|rtx-3080-ti
NVIDIA A100 80GB PCIe|80|a100-pcie-80
NVIDIA A100-SXM4-80GB|80|a100-sxm-80
NVIDIA A100-SXM4-40GB||a100-sxm-40
NVIDIA H100 80GB HBM3|80|h100-sxm-80
NVIDIA H100 PCIe|80|h100-pcie-80
NVIDIA H100 NVL|94|h100-nvl-94
NVIDIA H200|141|h200-sxm-141
NVIDIA B200|180|b200
NVIDIA L40S|48|l40s
NVIDIA L4|24|l4
NVIDIA A40|48|a40
NVIDIA A30|24|a30
NVIDIA RTX 6000 Ada Generation|48|rtx-6000-ada
NVIDIA RTX 4000 SFF Ada Generation|20|rtx-4000-sff-ada
NVIDIA RTX 2000 Ada Generation|16|rtx-2000-ada
NVIDIA RTX A4000|16|rtx-a4000
NVIDIA RTX A4500|20|rtx-a4500
NVIDIA RTX PRO 6000 Blackwell Server Edition|96|rtx-pro-6000-server
NVIDIA RTX PRO 6000 Blackwell Workstation Edition|96|rtx-pro-6000
NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition|96|rtx-pro-6000-maxq
Tesla V100-SXM2-32GB|32|v100-sxm-32
Tesla V100-PCIE-16GB|16|v100-pcie-16
Tesla V100-FHHL-16GB|16|v100-pcie-16
AMD Instinct MI300X OAM|192|mi300x
H100 (80 GB SXM5)||h100-sxm-80
H100 (80 GB PCIe)||h100-pcie-80
A100 (40 GB SXM4)||a100-sxm-40
A100 (80 GB SXM4)||a100-sxm-80
A100 (40 GB PCIe)||a100-pcie-40
A10 (24 GB PCIe)||a10
Quadro RTX 6000 (24 GB)||quadro-rtx-6000
Tesla V100 (16 GB)||v100-sxm-16
GH200 (96 GB)||gh200-96
B200 (180 GB SXM6)||b200
8x H100 (80 GB SXM5)||h100-sxm-80
rtx4090|24|rtx-4090
pro6000we|96|rtx-pro-6000
pro6000se|96|rtx-pro-6000-server
rtxa6000|48|rtx-a6000
p40|24|p40
gtx1080ti|11|gtx-1080-ti
t4|16|t4
A100-80GB|80|a100-sxm-80
A100-80GB-SXM||a100-sxm-80
V100-32GB|31.7|v100-sxm-32
RTXA6000||rtx-a6000
RTX6000-Ada||rtx-6000-ada
RTX6000|24|quadro-rtx-6000
RTX6000|48|rtx-6000-ada
RTXPRO6000S|95.6|rtx-pro-6000-server
A6000||rtx-a6000
A10G|24|a10g
T4g|16|t4g
M60|8|m60
Radeon Pro V520|8|radeon-pro-v520
Radeon MI25||mi25
Gaudi HL-205|32|gaudi-1
nvidia-tesla-t4||t4
nvidia-tesla-p100||p100-pcie-16
nvidia-h100-80gb||h100-sxm-80
nvidia-h100-mega-80gb||h100-sxm-80
nvidia-l4-vws||l4
nvidia-a100-80gb||a100-sxm-80
Standard_ND96isr_H100_v5||h100-sxm-80
Standard_NC24ads_A100_v4|80|a100-pcie-80
Standard_NC40ads_H100_v5|94|h100-nvl-94
Standard_NV36ads_A10_v5||a10
a100-sxm-80||a100-sxm-80
h200-nvl-141||h200-nvl-141
rtx-pro-6000-wk|96|rtx-pro-6000
rtx-pro-6000-maxq|96|rtx-pro-6000-maxq
NVIDIA RTX PRO-A6000 SE|96|rtx-pro-6000-server
NVIDIA HGX H200|141|h200-sxm-141
Intel Data Center GPU Max 1550|128|max-1550
Intel Gaudi 3|128|gaudi-3
Intel Arc A770|16|arc-a770
CPU||cpu
"""


def _cases() -> list[tuple[str, float | None, str]]:
    rows = (line.split("|") for line in CASES.strip().splitlines())
    return [(name, float(vram) if vram else None, slug) for name, vram, slug in rows]


@pytest.mark.parametrize(("name", "vram_gb", "slug"), _cases())
def test_a_providers_name_becomes_its_canonical_model(name: str, vram_gb: float | None, slug: str) -> None:
    match = gpus.normalise_gpu(name, vram_gb=vram_gb)
    assert match is not None, gpus.explain_unknown(name)
    assert match.slug == slug, match


@pytest.mark.parametrize(
    "name",
    [
        *("tpu-v4-8", "Inferentia", "Trainium", "Virtex UltraScale (VU9P)", "Qualcomm AI100"),
        *("RTX 4090 Laptop GPU", "H100 MIG 1g.10gb", "RTX 9999", "", "  ", "80GB", "💥", "x" * 5000),
    ],
)
def test_what_is_no_whole_gpu_that_we_know_is_not_guessed(name: str) -> None:
    assert gpus.normalise_gpu(name) is None


def test_the_form_factor_beside_the_name_decides() -> None:
    sxm = gpus.normalise_gpu("A100", vram_gb=80, form_factor="SXM4")
    pcie = gpus.normalise_gpu("A100", vram_gb=80, form_factor="PCIe")
    assert sxm == gpus.GpuMatch("a100-sxm-80", "exact", "name, form factor and VRAM fit one model")
    assert pcie is not None
    assert pcie.slug == "a100-pcie-80"


def test_an_open_choice_says_that_it_is_assumed() -> None:
    match = gpus.normalise_gpu("NVIDIA H100", vram_gb=80)
    assert match is not None
    assert match.confidence == "assumed"
    assert "h100-pcie-80" in match.why


def test_a_size_that_the_model_never_had_is_told() -> None:
    match = gpus.normalise_gpu("RTX 4090", vram_gb=48)
    assert match is not None
    assert (match.slug, match.confidence) == ("rtx-4090", "vram_differs")


def test_refusals_name_the_reason() -> None:
    assert "not a GPU" in gpus.explain_unknown("tpu-v5-4")
    assert "H100" in gpus.explain_unknown("h1000")


def test_every_slug_and_name_in_the_table_finds_itself() -> None:
    for model in gpus.load_models():
        by_slug = gpus.normalise_gpu(model.slug)
        assert by_slug is not None, model.slug
        assert by_slug.slug == model.slug
        stated = gpus.normalise_gpu(model.name.partition(" (")[0], vram_gb=model.vram_gb or None)
        assert stated is not None, model.name
        assert stated.slug == model.slug


def test_the_reference_table_is_plausible() -> None:
    models = gpus.load_models()
    assert len(models) == len(gpus.models_by_slug()) >= 60
    assert {"NVIDIA", "AMD", "Intel"} <= {model.vendor for model in models}
    for model in models:
        assert model.source.startswith("https://"), model.slug
        if model.kind == "cpu":
            continue
        assert model.kind in {"datacenter", "workstation", "consumer"}, model.slug
        assert model.form_factor in {"sxm", "pcie", "nvl", "oam", "superchip", "apu"}, model.slug
        assert 4 <= model.vram_gb <= 300, model.slug
        assert 100 <= (model.memory_gb_s or 0) <= 8000, model.slug
        assert 2 <= (model.fp16_dense_tflops or 0) <= 2600, model.slug
        assert 60 <= (model.tdp_w or 0) <= 1400, model.slug
        assert 2013 <= (model.released_year or 0) <= 2026, model.slug


def test_list_prices_name_known_models_and_public_sources() -> None:
    with (DATA / "list_prices.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["provider"] for row in rows}) >= 20
    assert 300 <= len(rows) <= 450
    assert len({(row["provider"], row["model"], row["kind"]) for row in rows}) == len(rows)
    for row in rows:
        assert row["model"] in gpus.models_by_slug(), row
        assert row["kind"] in {"on_demand", "spot", "reserved"}, row
        assert row["source"].startswith("https://"), row
        match = gpus.normalise_gpu(row["model"], vram_gb=float(row["vram_gb"]))
        assert match is not None, row
        assert match.confidence == "exact", row


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", []),
        ("rtx4090", [{"rtx-4090"}]),
        ("4090", [{"rtx-4090"}]),
        ("A100", [{"a100-sxm-40", "a100-sxm-80", "a100-pcie-40", "a100-pcie-80"}]),
        ("A100 80", [{"a100-sxm-80", "a100-pcie-80"}]),
        ("a100-80gb sxm", [{"a100-sxm-80"}]),
        ("h100 sxm, A100 80, rtx4090", [{"h100-sxm-80"}, {"a100-sxm-80", "a100-pcie-80"}, {"rtx-4090"}]),
        ("rtx pro 6000", [{"rtx-pro-6000", "rtx-pro-6000-server", "rtx-pro-6000-maxq"}]),
        ("rtx 6000", [{"quadro-rtx-6000", "rtx-6000-ada"}]),
        ("h100-nvl-94", [{"h100-nvl-94"}]),
        (" mi300x ;; L40S ", [{"mi300x"}, {"l40s"}]),
    ],
)
def test_a_query_means_every_variant_that_fits(query: str, expected: list[set[str]]) -> None:
    assert gpus.parse_gpu_query(query) == expected


@pytest.mark.parametrize("query", ["h1000", "tpu-v4", "a100 24", "rtx 4090, nonsense", ",".join(["t4"] * 50), "%00"])
def test_an_unknown_query_is_refused_with_what_is_near(query: str) -> None:
    with pytest.raises(Invalid) as refused:
        gpus.parse_gpu_query(query)
    assert refused.value.fields["gpu"]


def _catalog_names() -> Iterator[tuple[str, float | None, str]]:
    for offer in json.loads((CATALOG / "gpurentalprices-2026-08-22.json").read_text())["offers"]:
        yield offer["gpu"], offer["vram_gb"], ""
    for offer in json.loads((CATALOG / "gpu-pricing-offerings-2026-05-24.json").read_text()):
        yield offer["gpu_model"], offer["vram_gb"], offer["interconnect"] or ""
    for path in [*CATALOG.glob("*.csv"), *CATALOG.glob("*.csv.gz")]:
        with gzip.open(path, "rt", encoding="utf-8-sig") if path.suffix == ".gz" else path.open() as file:
            for row in csv.DictReader(file):
                if name := row.get("AcceleratorName") or row.get("GPU"):
                    yield name, _vram_of(row), ""


def _vram_of(row: dict[str, str]) -> float | None:
    if stated := row.get("VRAM_GB"):
        return float(stated) or None
    try:
        return float(ast.literal_eval(row["GpuInfo"])["Gpus"][0]["MemoryInfo"]["SizeInMiB"]) / 1024
    except (KeyError, SyntaxError, ValueError, TypeError):
        return None  # some providers' files hold a plain name there


@pytest.mark.skipif(not CATALOG.is_dir(), reason="the public catalogues are not beside this checkout")
def test_the_public_catalogues_are_recognised() -> None:
    rows = [row for row in _catalog_names() if not gpus.NOT_A_GPU.search(row[0])]
    unknown = {name for name, vram, form in rows if gpus.normalise_gpu(name, vram_gb=vram, form_factor=form) is None}
    known = sum(name not in unknown for name, _, _ in rows)
    print(f"\n{known} of {len(rows)} accelerator rows recognised ({known / len(rows):.2%}); unknown: {sorted(unknown)}")
    assert known / len(rows) >= 0.99
