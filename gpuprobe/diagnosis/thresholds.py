"""The numbers that decide, with their sources; a TOML file of the user's may replace any of them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import msgspec

from gpuprobe.errors import InputError
from gpuprobe.records import Record

if TYPE_CHECKING:
    from pathlib import Path


class Thresholds(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every threshold of the rules on a trace and on the card. Shares and fractions are 0 to 1, of the step's time."""

    # From this share of the GPU span on, kernels make the GPU itself the limit (DESIGN; MLPerf Storage asks for 0.90).
    compute_fraction: float = 0.80
    # On a processor there are no kernels to count: it is the limit where nothing else takes as much of the step.
    cpu_idle_share: float = 0.20
    # Two causes nearer than this tie (DESIGN: the first leads by less than ten points).
    tie_points: float = 0.10
    # XProf: a step is moderately input-bound from 5 % on (op_stats_to_input_pipeline_analysis.cc).
    input_share: float = 0.05
    # XProf: kernel launches and all others warn at 15 %.
    launch_share: float = 0.15
    between_steps_share: float = 0.15
    # Kineto's tb_plugin: communication above 10 % of the step; so much for copies and collectives.
    copy_share: float = 0.10
    collective_share: float = 0.10
    # As for the input: the least share of a wait that XProf names.
    sync_share: float = 0.05
    compile_share: float = 0.05
    # With this much of the step unexplained, the largest known part may not be the largest.
    unattributed_share: float = 0.20
    # Kineto's tb_plugin: no kernel uses Tensor Cores although operations could. Under a tenth of the kernels' time
    # there is little to win; a hundredth in use is one stray kernel.
    tensor_eligible_fraction: float = 0.10
    tensor_used_fraction: float = 0.01
    # Under a tenth of the time, or clocks less than 15 % down (FIELD), heat and power cost at most some percent.
    throttled_fraction: float = 0.10
    clocks_down: float = 0.15
    # DCGM's guide: SM activity of 0.8 is needed, below 0.5 a GPU is used ineffectively.
    sm_filled: float = 0.80
    # Chosen here: another program that computes for a tenth of the time.
    shared_fraction: float = 0.10
    # Chosen here: one generation or half the lanes less than could be, and a twentieth of the step lost by it.
    pcie_part: float = 0.75
    pcie_share: float = 0.05
    # Chosen here: a tenth more work than the others is beyond the noise of kernels of one model.
    straggler_ratio: float = 1.10
    # XProf: eager operations above 10 % of the step. A graph built in a steady step is one too many.
    eager_share: float = 0.10
    graphs_built: float = 1.0
    # Chosen here: meters that differ by less than twenty points tell the same story.
    meters_apart: float = 0.20
    # A tenth is what pyperf calls unstable.
    profiler_slowdown: float = 1.10


DEFAULTS = Thresholds()


def read(path: Path) -> Thresholds:
    """Read the user's thresholds, `name = number` a line; what the file leaves out stays as it is.

    Raises InputError for a file that is no TOML, an unknown name (with a suggestion), or a value that is no number.
    """
    try:
        given = msgspec.toml.decode(path.read_bytes())
        near = _unknown(given)
        if near is not None:
            raise InputError(f"{path}: {near}")
        return msgspec.convert(given, Thresholds)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: no thresholds ({error})") from error


def _unknown(given: dict[str, object]) -> str | None:
    known = Thresholds.__struct_fields__
    name = next((name for name in given if name not in known), None)
    if name is None:
        return None
    near = difflib.get_close_matches(name, known, 1)
    return f"no threshold is called {name!r}" + (f"; did you mean {near[0]}?" if near else f"; see {', '.join(known)}")
