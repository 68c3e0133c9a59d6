"""The columns of nvidia-smi and dcgmi by their headings: gpuprobe's name for each, and its unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["value", "hex", "reason", "fact", "fact_number", "index", "identity", "time", "date", "clock", "unknown"]


@dataclass(frozen=True)
class Column:
    """One column: gpuprobe's name for it, what it holds, its title in the log, and the unit in that title."""

    name: str
    kind: Kind
    title: str
    unit: str = ""


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
# Units in titles that people write themselves: `power_w`, `gpu_util_pct`.
OWN_UNIT = re.compile(r"(.+?)[ _.-]+(pct|percent|perc|mib|mb|gib|gb|watts?|w|mhz|ghz|degc|celsius|c)", re.IGNORECASE)
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
OWN_UNITS = {"pct": "%", "percent": "%", "perc": "%", "watt": "w", "watts": "w", "celsius": "c"}
TITLE = re.compile(r"(.*?)\s*(?:[\[(]\s*(.*?)\s*[\])])?\s*")
# By the unit at the end of gpuprobe's name: the factors from units of logs.
SCALES: dict[str, dict[str, float]] = {
    "_percent": {"%": 1.0, "": 1.0, "1": 100.0},
    "_w": {"w": 1.0, "": 1.0, "mw": 1e-3},
    "_mhz": {"mhz": 1.0, "": 1.0, "ghz": 1e3},
    "_mib": {"mib": 1.0, "": 1.0, "mb": 1.0, "kib": 2**-10, "gib": 2**10, "gb": 2**10, "b": 2**-20},
    "_c": {"c": 1.0, "": 1.0, "°c": 1.0, "degc": 1.0},
    "_per_s": {"mb/s": 1.0, "": 1.0, "b/s": 2**-20},
}


def column(title: str) -> Column:
    """Return the column of a title in a `--query-gpu` log; its kind is `unknown` where the title is not known."""
    match = TITLE.fullmatch(title.strip())
    assert match is not None
    bare, unit = match[1], (match[2] or "").lower().replace("�", "")
    name, kind = QUERY.get(_key(bare), ("", "unknown"))
    own = OWN_UNIT.fullmatch(bare)
    if kind == "unknown" and own and not unit:
        name, kind = QUERY.get(_key(own[1]), ("", "unknown"))
        unit = OWN_UNITS.get(own[2].lower(), own[2].lower())
        bare = own[1]
    # `gpu` is the title of the utilization if its unit is percent.
    if _key(bare) == "gpu" and unit == "%":
        name, kind = "utilization_percent", "value"
    if kind == "unknown":
        name, field_name = DCGM_TITLES.get(DCGM_PREFIX.sub("", _key(bare)), ("", ""))
        kind, unit = ("value", unit or field_name) if name else (kind, unit)
    reason = REASON.fullmatch(_key(bare))
    if kind == "unknown" and reason and reason[1] in REASONS:
        name, kind = reason[1], "reason"
    return Column(name, kind, title.strip(), unit)


def _key(title: str) -> str:
    return re.sub(r"[^a-z0-9]", "", title.lower())


def dmon_column(title: str) -> Column:
    """Return the column of a title in a log of `nvidia-smi dmon`."""
    name, kind = DMON.get(title.lower(), ("", "unknown"))
    return Column(name, kind, title)


def dcgm_column(title: str) -> Column:
    """Return the column of a title in a log of `dcgmi dmon`."""
    if title.lower() == "entity":
        return Column("", "index", title)
    name, unit = DCGM_TITLES.get(title.lower(), ("", ""))
    return Column(name, "value" if name else "unknown", title, unit)


def is_dcgm_names(cells: Sequence[str]) -> bool:
    """Whether a line that begins with # names columns of `dcgmi dmon`."""
    return bool(cells) and cells[0].lower() == "entity"


def is_dmon_names(cells: Sequence[str]) -> bool:
    """Whether a line that begins with # names columns, not their units."""
    return "gpu" in (cell.lower() for cell in cells)


def is_header(cells: Sequence[str]) -> bool:
    """Whether a line of a `--query-gpu` log names its columns: at least half of its cells are known titles.

    Numbers are no titles, but for those of DCGM's fields beside a title in words.
    """
    numbers = [cell for cell in cells if re.fullmatch(r"[-+]?\d[\d.]*\s*\S*", cell)]
    known = sum(column(cell).kind != "unknown" for cell in cells)
    return 2 * known >= len(cells) > len(numbers) and all(cell in DCGM_TITLES for cell in numbers)


def scale(name: str, unit: str) -> float | None:
    """Return the factor from a log's unit to the unit in a field's name; None where the unit does not fit the field."""
    for end, units in SCALES.items():
        if name.endswith(end):
            return units.get(unit.lower())
    return 1.0 if not unit else None
