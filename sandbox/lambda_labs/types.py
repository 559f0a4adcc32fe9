"""Lambda's instance types, and where there is room for them at the present tick."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sandbox.market import Market
from sandbox.prices import ListPrices

PROVIDER = "lambda_labs"
PRICE_TICKS = 240
ROOM = 0.62  # a type has room in a region when its level is above: most have none, as in life

REGIONS = {
    "us-west-1": "California, USA",
    "us-west-2": "Arizona, USA",
    "us-west-3": "Utah, USA",
    "us-south-1": "Texas, USA",
    "us-south-2": "North Texas, USA",
    "us-midwest-1": "Illinois, USA",
    "us-east-1": "Virginia, USA",
    "us-east-2": "Washington DC, USA",
    "us-east-3": "Washington DC, USA",
    "europe-central-1": "Germany",
    "asia-south-1": "India",
    "me-west-1": "Israel",
    "asia-northeast-1": "Osaka, Japan",
    "asia-northeast-2": "Tokyo, Japan",
    "australia-east-1": "Sydney, Australia",
}
# name | model | gpus | GPU description | vCPUs | RAM GiB | storage GiB
TABLE = """
gpu_1x_a10|a10|1|A10 (24 GB PCIe)|30|200|1400
gpu_1x_rtx6000|quadro-rtx-6000|1|RTX 6000 (24 GB)|14|46|512
gpu_1x_a6000|rtx-a6000|1|A6000 (48 GB)|14|100|512
gpu_2x_a6000|rtx-a6000|2|A6000 (48 GB)|28|200|1024
gpu_4x_a6000|rtx-a6000|4|A6000 (48 GB)|56|400|1024
gpu_1x_a100|a100-pcie-40|1|A100 (40 GB PCIe)|30|200|512
gpu_2x_a100|a100-pcie-40|2|A100 (40 GB PCIe)|60|400|1024
gpu_4x_a100|a100-pcie-40|4|A100 (40 GB PCIe)|120|800|1024
gpu_1x_a100_sxm4|a100-sxm-40|1|A100 (40 GB SXM4)|30|200|512
gpu_8x_a100|a100-sxm-40|8|A100 (40 GB SXM4)|124|1800|6144
gpu_8x_a100_80gb_sxm4|a100-sxm-80|8|A100 (80 GB SXM4)|240|1800|20480
gpu_1x_h100_pcie|h100-pcie-80|1|H100 (80 GB PCIe)|26|200|1024
gpu_1x_h100_sxm5|h100-sxm-80|1|H100 (80 GB SXM5)|26|225|2816
gpu_2x_h100_sxm5|h100-sxm-80|2|H100 (80 GB SXM5)|52|450|5632
gpu_4x_h100_sxm5|h100-sxm-80|4|H100 (80 GB SXM5)|104|900|11264
gpu_8x_h100_sxm5gdr|h100-sxm-80|8|H100 (80 GB SXM5)|208|1800|24780
gpu_1x_gh200|gh200-96|1|GH200 (96 GB)|64|432|4096
gpu_1x_b200_sxm6|b200|1|B200 (180 GB SXM6)|26|360|2816
gpu_8x_b200_sxm6|b200|8|B200 (180 GB SXM6)|208|2900|22528
gpu_8x_v100|v100-sxm-16|8|Tesla V100 (16 GB)|92|448|6041
"""


@dataclass(frozen=True, slots=True)
class InstanceType:
    name: str
    model: str
    gpus: int
    gpu: str
    vcpus: int
    ram_gib: int
    storage_gib: int


def _type(line: str) -> InstanceType:
    name, model, gpus, gpu, vcpus, ram, storage = line.split("|")
    return InstanceType(name, model, int(gpus), gpu, int(vcpus), int(ram), int(storage))


TYPES = tuple(_type(line) for line in TABLE.split("\n") if line)


class Shelf:
    def __init__(self, market: Market, prices: ListPrices) -> None:
        self._market = market
        self._prices = {
            kind.name: price * kind.gpus for kind in TYPES if (price := prices.price(PROVIDER, kind.model)) is not None
        }

    def types(self) -> list[InstanceType]:
        return [kind for kind in TYPES if kind.name in self._prices]

    def find(self, name: str) -> InstanceType | None:
        return next((kind for kind in self.types() if kind.name == name), None)

    def cents(self, kind: InstanceType) -> int:
        """Per hour for the whole instance. The list changes seldom and by little."""
        return round(self._market.drift(self._prices[kind.name] * 100, kind.model, swing=0.02, every=PRICE_TICKS))

    def price(self, kind: InstanceType) -> Decimal:
        return Decimal(self.cents(kind)) / 100

    def regions(self, kind: InstanceType) -> list[str]:
        """Where one could be launched now."""
        return [region for region in REGIONS if self._sells(kind, region) and self._has_room(kind, region)]

    def _sells(self, kind: InstanceType, region: str) -> bool:
        return self._market.chance(kind.model, region, "sells") < 0.5

    def _has_room(self, kind: InstanceType, region: str) -> bool:
        scarcer = 0.03 * (kind.gpus - 1)
        return self._market.level(f"{kind.model}/{region}") > ROOM + scarcer

    def describe(self, kind: InstanceType) -> dict[str, Any]:
        return {
            "name": kind.name,
            "description": f"{kind.gpus}x {kind.gpu}",
            "gpu_description": kind.gpu,
            "price_cents_per_hour": self.cents(kind),
            "specs": {
                "vcpus": kind.vcpus,
                "memory_gib": kind.ram_gib,
                "storage_gib": kind.storage_gib,
                "gpus": kind.gpus,
            },
        }


def region(name: str) -> dict[str, str]:
    return {"name": name, "description": REGIONS[name]}
