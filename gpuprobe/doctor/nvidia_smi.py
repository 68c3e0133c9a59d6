"""The state of the cards as `nvidia-smi -q -x` prints it: what NVML's inventory does not hold.

The names of the elements differ between drivers (clocks_throttle_reasons became clocks_event_reasons in 530,
power_readings became gpu_power_readings in 525); both are read. Source: nvidia-smi's own output and nvsmi_device.dtd.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from gpuprobe.doctor.facts import CardFacts, GpuProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

# A healthy driver answers within a second or two for eight cards.
LIMIT_S = 15.0
# Where WSL2 puts it, which is not on every PATH.
WSL_PROGRAM = Path("/usr/lib/wsl/lib/nvidia-smi")


def cards() -> tuple[tuple[CardFacts, ...], str]:
    """Return the state of every card, or none and the one-line reason."""
    program = shutil.which("nvidia-smi") or (str(WSL_PROGRAM) if WSL_PROGRAM.exists() else None)
    if program is None:
        return (), "nvidia-smi is not on PATH"
    try:
        asked = subprocess.run([program, "-q", "-x"], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return (), f"nvidia-smi did not answer within {LIMIT_S:.0f} s"
    except OSError as error:
        return (), f"nvidia-smi could not be run ({error.strerror})"
    if asked.returncode:
        said = (asked.stdout + asked.stderr).strip().splitlines() or ["no words"]
        return (), f"nvidia-smi ended with exit code {asked.returncode}: {said[0]}"
    try:
        return parse(asked.stdout), ""
    except ET.ParseError as error:
        return (), f"nvidia-smi's output could not be read ({error})"


def parse(xml: str) -> tuple[CardFacts, ...]:
    """Read the XML that nvidia-smi prints. Raises ElementTree.ParseError where it is none."""
    # It comes from the driver's own program on this machine, without entities.
    return tuple(_card(node) for node in ET.fromstring(xml).iter("gpu"))  # noqa: S314


def _card(node: ET.Element) -> CardFacts:
    power = "gpu_power_readings" if node.find("gpu_power_readings") is not None else "power_readings"
    link = "pci/pci_gpu_link_info/"
    return CardFacts(
        uuid=_text(node, "uuid"),
        name=_text(node, "product_name"),
        persistence=_switch(node, "persistence_mode"),
        mig=_switch(node, "mig_mode/current_mig"),
        driver_model=_text(node, "driver_model/current_dm"),
        pcie_generation=_whole(node, link + "pcie_gen/current_link_gen"),
        pcie_generation_max=_whole(node, link + "pcie_gen/max_link_gen"),
        pcie_width=_whole(node, link + "link_widths/current_link_width"),
        pcie_width_max=_whole(node, link + "link_widths/max_link_width"),
        power_w=_first(node, f"{power}/power_draw", f"{power}/average_power_draw", f"{power}/instant_power_draw"),
        power_limit_w=_first(
            node, f"{power}/enforced_power_limit", f"{power}/current_power_limit", f"{power}/power_limit"
        ),
        power_limit_default_w=_first(node, f"{power}/default_power_limit"),
        temperature_c=_first(node, "temperature/gpu_temp"),
        temperature_slowdown_c=_first(node, "temperature/gpu_temp_slow_threshold"),
        memory_total_mib=_first(node, "fb_memory_usage/total"),
        memory_used_mib=_first(node, "fb_memory_usage/used"),
        utilization_percent=_first(node, "utilization/gpu_util"),
        performance_state=_text(node, "performance_state"),
        reasons=tuple(_reasons(node)),
        processes=_processes(node),
    )


def _reasons(node: ET.Element) -> Iterator[str]:
    for group in ("clocks_event_reasons", "clocks_throttle_reasons"):
        found = node.find(group)
        for reason in found if found is not None else ():
            if (reason.text or "").strip() == "Active":
                yield re.sub(r"^clocks_(event|throttle)_reasons?_", "", reason.tag)


def _processes(node: ET.Element) -> tuple[GpuProcess, ...] | None:
    table = node.find("processes")
    if table is None or (table.text or "").strip() in {"N/A", "Insufficient Permissions"}:
        return None
    return tuple(
        GpuProcess(
            pid=_whole(found, "pid") or 0,
            kind=_text(found, "type"),
            name=_text(found, "process_name"),
            memory_mib=_first(found, "used_memory"),
        )
        for found in table.iter("process_info")
    )


def _text(node: ET.Element, path: str) -> str:
    text = (node.findtext(path) or "").strip()
    return "" if text in {"N/A", "[N/A]", "Unknown Error", "[Not Supported]"} else text


def _switch(node: ET.Element, path: str) -> bool | None:
    return {"Enabled": True, "Disabled": False}.get(_text(node, path))


def _first(node: ET.Element, *paths: str) -> float | None:
    """Return the number at the first of the paths that holds one: `61.50 W`, `3072 MiB`, `16x`."""
    for path in paths:
        match = re.match(r"-?\d+(?:\.\d+)?", _text(node, path))
        if match:
            return float(match[0])
    return None


def _whole(node: ET.Element, path: str) -> int | None:
    value = _first(node, path)
    return None if value is None else int(value)
