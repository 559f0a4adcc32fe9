"""Catalogues and histories from files: idempotent, counted, labelled."""

from __future__ import annotations

import gzip
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from config.environment import BASE_DIR
from marketplace.models import MarketVersion, Offer, PricePoint, Provider
from marketplace.queries import parse_query
from marketplace.search import browse

pytestmark = pytest.mark.django_db
SHARED = BASE_DIR.parent / "shared" / "data"
HEADER = (
    "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone\n"
)
CATALOG = HEADER + (
    "p4d.24xlarge,A100,8,96,1152,\"{'Gpus': [{'MemoryInfo': {'SizeInMiB': 40960}}]}\",32.77,12.5,us-east-1,use1-az1\n"
    "m5.large,,,2,8,,0.096,0.035,us-east-1,use1-az1\n"
    "m5.large,,,2,8,,0.091,,us-east-1,use1-az1\n"
    ",tpu-v3-8,1,,,,8.8,,us-east-1,\n"
    "free,V100,1,8,61,,0.00,,us-east-1,\n"
)
HISTORY = (
    "observed_at,provider,instance_type,accelerator,accelerator_count,region,price_usd_hour,spot_price_usd_hour,source\n"
    "2024-01-01T00:00:00Z,aws,p4d.24xlarge,A100,8,us-east-1,32.00,8.00,skypilot-catalog\n"
    "2026-07-05T00:00:00Z,runpod,secure:80GB,a100-pcie-80,1,,1.50,,gpurentalprices\n"
    "2026-07-05T00:00:00Z,runpod,serverless:80GB,a100-pcie-80,1,,2.50,,gpurentalprices\n"
    "2026-07-05T00:00:00Z,newcloud,x,h100,1,,2.50,,gpurentalprices\n"
    "2024-01-01T00:00:00Z,aws,m5.large,,,us-east-1,0.1,,skypilot-catalog\n"
    "2024-01-01T00:00:00Z,gcp,,tpu-v3-8,1,us-east-1,8,,skypilot-catalog\n"
)


def run(command: str, *arguments: Any) -> str:
    out = StringIO()
    call_command(command, *map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.fixture
def catalog(tmp_path: Path, market: None) -> Path:
    (tmp_path / "aws.csv.gz").write_bytes(gzip.compress(CATALOG.encode()))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    return tmp_path


def test_a_catalogue_is_stored_by_the_instance_with_spot_apart(catalog: Path) -> None:
    said = run("import_catalog", catalog, "--observed-on", "2024-05-01")
    offers = {(o.gpu_id, o.kind, o.gpu_count): o for o in Offer.objects.filter(ref__startswith="p4d")}
    assert set(offers) == {("a100-sxm-40", "on_demand", 8), ("a100-sxm-40", "spot", 8)}
    assert offers["a100-sxm-40", "spot", 8].observed_at.date().isoformat() == "2024-05-01"
    assert Offer.objects.filter(gpu="cpu").count() == 3  # the same type twice, with two prices
    assert "5 prices stored" in said
    assert "accelerator is not a GPU that we know: 1" in said
    assert "no price: 1" in said
    assert "other.csv: not a catalogue" in said


def test_importing_again_changes_nothing(catalog: Path) -> None:
    run("import_catalog", catalog, "--observed-on", "2024-05-01")
    before = MarketVersion.objects.get().version
    assert "(0 new, 0 changed)" in run("import_catalog", catalog, "--observed-on", "2024-05-01")
    assert MarketVersion.objects.get().version == before
    assert Offer.objects.count() == 5


def test_imported_offers_are_found_when_asked_for_and_never_rentable(catalog: Path) -> None:
    run("import_catalog", catalog)
    assert browse(parse_query({"gpu": "a100"})).total == 0
    rows = browse(parse_query({"gpu": "a100", "source": "catalog"})).offers
    assert len(rows) == 2
    assert all(row.reasons for row in rows)


def test_a_history_is_stored_per_gpu_and_replaced_by_the_next_import(tmp_path: Path, market: None) -> None:
    file = tmp_path / "history.csv.gz"
    file.write_bytes(gzip.compress(HISTORY.encode()))
    said = run("import_price_history", file)
    points = {
        (p.provider_id, p.kind): float(p.price_per_gpu_hour) for p in PricePoint.objects.filter(gpu="a100-sxm-40")
    }
    assert points == {("aws", "on_demand"): 4.0, ("aws", "spot"): 1.0}
    assert "6 rows read, 4 prices stored" in said
    for reason in ("serverless", "no GPU: 1", "not a GPU that we know: 1"):
        assert reason in said
    assert Provider.objects.get(pk="newcloud").name == "Newcloud"
    run("import_price_history", file)
    assert PricePoint.objects.count() == 4


@pytest.mark.parametrize("command", ["import_catalog", "import_price_history"])
def test_a_path_that_is_not_there_is_refused(market: None, command: str) -> None:
    with pytest.raises(CommandError):
        run(command, "/nowhere/at-all.csv")


def test_a_day_that_is_none_is_refused(catalog: Path) -> None:
    with pytest.raises(CommandError):
        run("import_catalog", catalog, "--observed-on", "yesterday")


@pytest.mark.skipif(not (SHARED / "catalog").is_dir(), reason="the shared catalogues are not on this machine")
@pytest.mark.parametrize(
    ("name", "offers"), [("lambda.csv", 182), ("runpod.csv", 640), ("vast.csv", 67), ("ibm.csv", 54)]
)
def test_real_catalogues_are_read_whole(market: None, name: str, offers: int) -> None:
    assert f"{offers} prices stored" in run("import_catalog", SHARED / "catalog" / name)
