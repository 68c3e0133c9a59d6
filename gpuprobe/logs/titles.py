"""The titles of columns that nvidia-smi and dcgmi write, with gpuprobe's name and the unit of each."""

from __future__ import annotations

import re
from typing import Literal

Kind = Literal["value", "hex", "reason", "fact", "fact_number", "index", "identity", "time", "date", "clock", "unknown"]

# Names of `--query-gpu` without dots and underscores, since titles are often edited by hand.
QUERY: dict[str, tuple[str, Kind]] = {
    "timestamp": ("", "time"),
    "time": ("", "time"),
    "index": ("", "index"),
    "gpu": ("", "index"),
    "gpuindex": ("", "index"),
    "uuid": ("uuid", "identity"),
    "gpuuuid": ("uuid", "identity"),
    "pcibusid": ("pci_bus_id", "identity"),
    "gpubusid": ("pci_bus_id", "identity"),
    "name": ("name", "fact"),
    "gpuname": ("name", "fact"),
    "driverversion": ("driver", "fact"),
    "computecap": ("compute_capability", "fact"),
    "vbiosversion": ("vbios", "fact"),
    "utilizationgpu": ("utilization_percent", "value"),
    "gpuutilization": ("utilization_percent", "value"),
    "gpuutil": ("utilization_percent", "value"),
    "utilization": ("utilization_percent", "value"),
    "gpuusage": ("utilization_percent", "value"),
    "utilgpu": ("utilization_percent", "value"),
    "utilmem": ("memory_utilization_percent", "value"),
    "memutil": ("memory_utilization_percent", "value"),
    "utilizationmemory": ("memory_utilization_percent", "value"),
    "memoryutilization": ("memory_utilization_percent", "value"),
    "utilizationencoder": ("encoder_percent", "value"),
    "utilizationdecoder": ("decoder_percent", "value"),
    "powerdraw": ("power_w", "value"),
    "powerdrawinstant": ("power_w", "value"),
    "powerdrawaverage": ("power_w", "value"),
    "power": ("power_w", "value"),
    "powerlimit": ("power_limit_w", "value"),
    "enforcedpowerlimit": ("power_limit_w", "value"),
    "powerdefaultlimit": ("power_limit_default_w", "fact_number"),
    "powermaxlimit": ("power_limit_max_w", "fact_number"),
    "powerminlimit": ("power_limit_min_w", "fact_number"),
    "temperaturegpu": ("temperature_c", "value"),
    "temperature": ("temperature_c", "value"),
    "temp": ("temperature_c", "value"),
    "gputemp": ("temperature_c", "value"),
    "temperaturememory": ("memory_temperature_c", "value"),
    "fanspeed": ("fan_percent", "value"),
    "pstate": ("performance_state", "value"),
    "memorytotal": ("memory_total_mib", "fact_number"),
    "memoryused": ("memory_used_mib", "value"),
    "memused": ("memory_used_mib", "value"),
    "memoryfree": ("memory_free_mib", "value"),
    "memoryreserved": ("memory_reserved_mib", "value"),
    "clockssm": ("sm_clock_mhz", "value"),
    "smclock": ("sm_clock_mhz", "value"),
    "memclock": ("memory_clock_mhz", "value"),
    "memoryclock": ("memory_clock_mhz", "value"),
    "clockscurrentsm": ("sm_clock_mhz", "value"),
    "clocksmem": ("memory_clock_mhz", "value"),
    "clocksmemory": ("memory_clock_mhz", "value"),
    "clockscurrentmemory": ("memory_clock_mhz", "value"),
    "clocksgr": ("graphics_clock_mhz", "value"),
    "clocksgraphics": ("graphics_clock_mhz", "value"),
    "clockscurrentgraphics": ("graphics_clock_mhz", "value"),
    "clocksvideo": ("video_clock_mhz", "value"),
    "clockscurrentvideo": ("video_clock_mhz", "value"),
    "clocksmaxsm": ("sm_clock_max_mhz", "fact_number"),
    "clocksmaxmem": ("memory_clock_max_mhz", "fact_number"),
    "clocksmaxmemory": ("memory_clock_max_mhz", "fact_number"),
    "clocksmaxgr": ("graphics_clock_max_mhz", "fact_number"),
    "clocksmaxgraphics": ("graphics_clock_max_mhz", "fact_number"),
    "clocksthrottlereasonsactive": ("throttle_reasons", "hex"),
    "clockseventreasonsactive": ("throttle_reasons", "hex"),
    "pcielinkgencurrent": ("pcie_generation", "value"),
    "pcielinkgengpucurrent": ("pcie_generation", "value"),
    "pcielinkgenmax": ("pcie_generation_max", "fact_number"),
    "pcielinkwidthcurrent": ("pcie_width", "value"),
    "pcielinkwidthmax": ("pcie_width_max", "fact_number"),
    "eccerrorscorrectedvolatiletotal": ("ecc_corrected", "value"),
    "eccerrorsuncorrectedvolatiletotal": ("ecc_uncorrected", "value"),
}
# Reasons that are logged one by one, as Active or Not Active (nvml.h, nvmlClocksEventReasons*).
REASONS = {
    "gpuidle": 0x1,
    "applicationsclockssetting": 0x2,
    "swpowercap": 0x4,
    "hwslowdown": 0x8,
    "syncboost": 0x10,
    "swthermalslowdown": 0x20,
    "hwthermalslowdown": 0x40,
    "hwpowerbrakeslowdown": 0x80,
}
REASON = re.compile(r"clocks(?:throttle|event)reasons(.+)")
# Titles that people write themselves may end with the unit: `power_w`, `gpu_util_pct`.
TITLE_WITH_UNIT = re.compile(
    r"(.+?)[ _.-]+(pct|percent|perc|mib|mb|gib|gb|watts?|w|mhz|ghz|degc|celsius|c)", re.IGNORECASE
)
DMON: dict[str, tuple[str, Kind]] = {
    "date": ("", "date"),
    "time": ("", "clock"),
    "gpu": ("", "index"),
    "pwr": ("power_w", "value"),
    "gtemp": ("temperature_c", "value"),
    "temp": ("temperature_c", "value"),
    "mtemp": ("memory_temperature_c", "value"),
    "sm": ("utilization_percent", "value"),
    "mem": ("memory_utilization_percent", "value"),
    "enc": ("encoder_percent", "value"),
    "dec": ("decoder_percent", "value"),
    "mclk": ("memory_clock_mhz", "value"),
    "pclk": ("sm_clock_mhz", "value"),
    "fb": ("memory_used_mib", "value"),
    "sbecc": ("ecc_corrected", "value"),
    "dbecc": ("ecc_uncorrected", "value"),
    "rxpci": ("pcie_received_mib_per_s", "value"),
    "txpci": ("pcie_sent_mib_per_s", "value"),
}
# DCGM's number of a field, its heading in `dcgmi dmon`, its name without DCGM_FI_DEV_ and DCGM_FI_PROF_, gpuprobe's
# name, and its unit. Source: dcgm_fields.h.
DCGM: tuple[tuple[int, str, str, str, str], ...] = (
    (100, "smclk", "smclock", "sm_clock_mhz", ""),
    (101, "mmclk", "memclock", "memory_clock_mhz", ""),
    (140, "mmtmp", "memorytemp", "memory_temperature_c", ""),
    (150, "tmptr", "gputemp", "temperature_c", ""),
    (155, "power", "powerusage", "power_w", ""),
    (203, "gputl", "gpuutil", "utilization_percent", ""),
    (204, "mcutl", "memcopyutil", "memory_utilization_percent", ""),
    (251, "fbfre", "fbfree", "memory_free_mib", ""),
    (252, "fbusd", "fbused", "memory_used_mib", ""),
    (1001, "gract", "grengineactive", "gpm_graphics_percent", "1"),
    (1002, "smact", "smactive", "gpm_sm_percent", "1"),
    (1003, "smocc", "smoccupancy", "gpm_occupancy_percent", "1"),
    (1004, "tenso", "pipetensoractive", "gpm_tensor_percent", "1"),
    (1005, "drama", "dramactive", "gpm_dram_percent", "1"),
    (1006, "fp64a", "pipefp64active", "gpm_fp64_percent", "1"),
    (1007, "fp32a", "pipefp32active", "gpm_fp32_percent", "1"),
    (1008, "fp16a", "pipefp16active", "gpm_fp16_percent", "1"),
    (1009, "pcitx", "pcietxbytes", "gpm_pcie_sent_mib_per_s", "b/s"),
    (1010, "pcirx", "pcierxbytes", "gpm_pcie_received_mib_per_s", "b/s"),
    (1011, "nvltx", "nvlinktxbytes", "gpm_nvlink_sent_mib_per_s", "b/s"),
    (1012, "nvlrx", "nvlinkrxbytes", "gpm_nvlink_received_mib_per_s", "b/s"),
)
DCGM_TITLES = {key: (name, unit) for number, short, long, name, unit in DCGM for key in (str(number), short, long)}
DCGM_PREFIX = re.compile(r"dcgmfi(?:dev|prof)")
WRITTEN_UNITS = {"pct": "%", "percent": "%", "perc": "%", "watt": "w", "watts": "w", "celsius": "c"}
TITLE_AND_UNIT = re.compile(r"(.*?)\s*(?:[\[(]\s*(.*?)\s*[\])])?\s*")
# The factors from the units of logs to the unit at the end of gpuprobe's name.
SCALES: dict[str, dict[str, float]] = {
    "_percent": {"%": 1.0, "": 1.0, "1": 100.0},
    "_w": {"w": 1.0, "": 1.0, "mw": 1e-3},
    "_mhz": {"mhz": 1.0, "": 1.0, "ghz": 1e3},
    "_mib": {"mib": 1.0, "": 1.0, "mb": 1.0, "kib": 2**-10, "gib": 2**10, "gb": 2**10, "b": 2**-20},
    "_c": {"c": 1.0, "": 1.0, "°c": 1.0, "degc": 1.0},
    "_per_s": {"mb/s": 1.0, "": 1.0, "b/s": 2**-20},
}
