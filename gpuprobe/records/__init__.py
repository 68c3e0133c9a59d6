"""The frozen records that pass from stage to stage, and their JSON.

Every stage after the measuring is a function of these, so it can run again later, on another machine, without
a GPU and without TensorFlow. Units live in the names: `_ns`, `_s`, `_ms`, `_w`, `_j`, `_mib`, `_fraction`
(0 to 1), `_per_s`. All times are nanoseconds since the Unix epoch, the clock of current TensorFlow traces.
"""

from gpuprobe.records.base import SCHEMA, Record
from gpuprobe.records.evidence import Confidence, Evidence, Gain, Signal
from gpuprobe.records.files import load, save, to_json, write_whole
from gpuprobe.records.run import (
    CallbackSetting,
    CoreUse,
    Given,
    GraphLoop,
    LossPoint,
    Outcome,
    Phase,
    PhaseName,
    Run,
    Settings,
    State,
    TraceInfo,
)
from gpuprobe.records.strategy import Combination, Part, Role, Scale, StrategyInfo, applied, chain
from gpuprobe.records.study import Environment, GpuInfo, Job, Request, RunSpec, Study
from gpuprobe.records.wall import PartKind, Wall, WallPart
from gpuprobe.records.watch import ThreadUse, Watch

__all__ = [
    "SCHEMA",
    "CallbackSetting",
    "Combination",
    "Confidence",
    "CoreUse",
    "Environment",
    "Evidence",
    "Gain",
    "Given",
    "GpuInfo",
    "GraphLoop",
    "Job",
    "LossPoint",
    "Outcome",
    "Part",
    "PartKind",
    "Phase",
    "PhaseName",
    "Record",
    "Request",
    "Role",
    "Run",
    "RunSpec",
    "Scale",
    "Settings",
    "Signal",
    "State",
    "StrategyInfo",
    "Study",
    "ThreadUse",
    "TraceInfo",
    "Wall",
    "WallPart",
    "Watch",
    "applied",
    "chain",
    "load",
    "save",
    "to_json",
    "write_whole",
]
