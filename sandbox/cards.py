"""The graphics cards of the stand-ins: what each provider calls them, and the figures that listings repeat.

Prices are not here: they come from the facts table by `slug`. An empty name means that the provider has no such card.
"""

from __future__ import annotations

from dataclasses import dataclass

SERVER_WATTS = 400


@dataclass(frozen=True, slots=True)
class Card:
    slug: str
    memory_mb: int  # as Vast reports it
    bandwidth_gb_s: float
    tflops: float  # FP32, as Vast reports it
    watts: int
    compute_cap: int  # × 100; 0 for AMD
    vast: str
    vast_machines: int
    runpod_id: str
    runpod_name: str
    runpod_pool: str
    akash: str
    akash_interface: str

    @property
    def memory_gb(self) -> int:
        return round(self.memory_mb / 1024)

    @property
    def in_servers(self) -> bool:
        """Cards of this power stand in data centres, many to a machine."""
        return self.watts >= SERVER_WATTS

    @property
    def vendor(self) -> str:
        return "nvidia" if self.compute_cap else "amd"


# slug | memory_mb | bandwidth | tflops | watts | cap | Vast name | machines | RunPod id | RunPod name | pool | Akash | interface
TABLE = """
h100-sxm-80|81559|3350|66.9|700|900|H100 SXM|12|NVIDIA H100 80GB HBM3|H100 SXM|HOPPER_80|h100|SXM5
h100-pcie-80|81559|2039|51.2|350|900|H100 PCIE|5|NVIDIA H100 PCIe|H100 PCIe|ADA_80_PRO|h100|PCIe
h100-nvl-94|95830|3938|60.3|400|900|H100 NVL|4|NVIDIA H100 NVL|H100 NVL|ADA_80_PRO||
h200-sxm-141|143771|4800|66.9|700|900|H200|8|NVIDIA H200|H200 SXM|HOPPER_141|h200|SXM5
h200-nvl-141|143156|4800|60.3|600|900|H200 NVL|3|NVIDIA H200 NVL|H200 NVL|||
b200|183359|8000|75.0|1000|1000|B200|4|NVIDIA B200|B200|BLACKWELL_180|b200|SXM6
b300|275040|8000|77.0|1100|1030|B300|2|NVIDIA B300 SXM6 AC|B300||b300|SXM6
a100-sxm-80|81920|2039|19.5|400|800|A100 SXM4|9|NVIDIA A100-SXM4-80GB|A100 SXM|AMPERE_80|a100|SXM4
a100-pcie-80|81920|1935|19.5|300|800|A100 PCIE|5|NVIDIA A100 80GB PCIe|A100 PCIe|AMPERE_80|a100|PCIe
a100-sxm-40|40960|1555|19.5|400|800|A100 SXM4|4|NVIDIA A100-SXM4-40GB|A100 SXM 40GB||a100|SXM4
a100-pcie-40|40960|1555|19.5|250|800|A100 PCIE|4||||a100|PCIe
l40s|46068|864|91.6|350|890|L40S|8|NVIDIA L40S|L40S|ADA_48_PRO|l40s|PCIe
l40|46068|864|90.5|300|890|L40|4|NVIDIA L40|L40|ADA_48_PRO|l40|PCIe
l4|23034|300|30.3|72|890|L4|5|NVIDIA L4|L4|AMPERE_24|l4|PCIe
a40|46068|696|37.4|300|860|A40|5|NVIDIA A40|A40|AMPERE_48|a40|PCIe
a30|24576|933|10.3|165|800|A30|2|NVIDIA A30|A30||a30|PCIe
a10|23028|600|31.2|150|860|A10|4||||a10|PCIe
t4|15360|320|8.1|70|750|Tesla T4|4||||t4|PCIe
v100-sxm-16|16384|900|15.7|300|700|Tesla V100|4|Tesla V100-SXM2-16GB|V100 SXM2||v100|SXM2
v100-pcie-16|16384|900|14.0|250|700||0|Tesla V100-PCIE-16GB|Tesla V100||v100|PCIe
p40|24576|347|11.8|250|610|Tesla P40|2||||p40|PCIe
rtx-a6000|49140|768|38.7|300|860|RTX A6000|8|NVIDIA RTX A6000|RTX A6000|AMPERE_48|rtxa6000|PCIe
rtx-a5000|24564|768|27.8|230|860|RTX A5000|6|NVIDIA RTX A5000|RTX A5000|AMPERE_24|rtxa5000|PCIe
rtx-a4000|16376|448|19.2|140|860|RTX A4000|5|NVIDIA RTX A4000|RTX A4000|AMPERE_16|rtxa4000|PCIe
rtx-6000-ada|49140|960|91.1|300|890|RTX 6000Ada|6|NVIDIA RTX 6000 Ada Generation|RTX 6000 Ada|ADA_48_PRO|rtx6000ada|PCIe
rtx-4000-ada|20475|360|26.7|130|890|RTX 4000Ada|3|NVIDIA RTX 4000 Ada Generation|RTX 4000 Ada|AMPERE_16|rtx4000ada|PCIe
rtx-pro-6000|97887|1792|126.0|600|1200|RTX PRO 6000 WS|7|NVIDIA RTX PRO 6000 Blackwell Workstation Edition|RTX PRO 6000 WK||pro6000we|PCIe
rtx-pro-6000-server|97887|1597|120.0|600|1200|RTX PRO 6000 S|5|NVIDIA RTX PRO 6000 Blackwell Server Edition|RTX PRO 6000||pro6000se|PCIe
rtx-5090|32607|1792|104.8|575|1200|RTX 5090|22|NVIDIA GeForce RTX 5090|RTX 5090|ADA_32_PRO|rtx5090|PCIe
rtx-5080|16303|960|56.3|360|1200|RTX 5080|7|NVIDIA GeForce RTX 5080|RTX 5080|||
rtx-5070|12227|672|30.9|250|1200|RTX 5070|4||||rtx5070|PCIe
rtx-4090|24564|1008|82.6|450|890|RTX 4090|30|NVIDIA GeForce RTX 4090|RTX 4090|ADA_24|rtx4090|PCIe
rtx-4080|16376|717|48.7|320|890|RTX 4080|4|NVIDIA GeForce RTX 4080|RTX 4080||rtx4080|PCIe
rtx-4070-ti|12282|504|40.1|285|890|RTX 4070 Ti|3|NVIDIA GeForce RTX 4070 Ti|RTX 4070 Ti||rtx4070ti|PCIe
rtx-4060-ti-16|16380|288|22.1|165|890|RTX 4060 Ti|4||||rtx4060ti|PCIe
rtx-3090|24576|936|35.6|350|860|RTX 3090|20|NVIDIA GeForce RTX 3090|RTX 3090|AMPERE_24|rtx3090|PCIe
rtx-3090-ti|24564|1008|40.0|450|860|RTX 3090 Ti|3|NVIDIA GeForce RTX 3090 Ti|RTX 3090 Ti||rtx3090ti|PCIe
rtx-3080|10240|760|29.8|320|860|RTX 3080|5|NVIDIA GeForce RTX 3080|RTX 3080||rtx3080|PCIe
rtx-3070|8192|448|20.3|220|860|RTX 3070|4|NVIDIA GeForce RTX 3070|RTX 3070||rtx3070|PCIe
rtx-3060|12288|360|12.7|170|860|RTX 3060|7||||rtx3060|PCIe
rtx-2080-ti|11264|616|13.4|250|750|RTX 2080 Ti|4||||rtx2080ti|PCIe
gtx-1080-ti|11264|484|11.3|250|610|GTX 1080 Ti|2||||gtx1080ti|PCIe
mi300x|196288|5300|163.4|750|0||0|AMD Instinct MI300X OAM|MI300X||mi300x|OAM
"""


def _card(line: str) -> Card:
    slug, memory, bandwidth, tflops, watts, cap, vast, machines, *names = line.split("|")
    numbers = (int(memory), float(bandwidth), float(tflops), int(watts), int(cap))
    return Card(slug, *numbers, vast, int(machines), *names)


CARDS = tuple(_card(line) for line in TABLE.split("\n") if line)
