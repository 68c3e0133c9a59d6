"""All facts for the checks as one frozen record; an unknown fact is None or empty, and another field says why."""

from __future__ import annotations

import msgspec

from gpuprobe.records import GpuInfo, Record


class SystemFacts(Record, frozen=True, kw_only=True):
    """The machine and the process: `wsl` is 0, 1 or 2; `cpu_quota` is in cores; memory in MiB."""

    system: str = "Linux"
    release: str = ""
    python: str = ""
    wsl: int = 0
    container: bool = False
    cpu_count: int = 1
    affinity: int = 1
    cpu_quota: float | None = None
    memory_mib: float | None = None
    memory_available_mib: float | None = None
    memory_limit_mib: float | None = None
    environment: dict[str, str] = msgspec.field(default_factory=dict)


class DriverFacts(Record, frozen=True, kw_only=True):
    """The NVIDIA driver: facts from NVML (`state` is why there are none), and from the kernel.

    `lost` holds (number, state) of each listed GPU that does not answer. `pci_gpus` is the number of NVIDIA display
    devices on the PCI bus (None where it cannot be read), `admin_only` the module's RmProfilingAdminOnly, and
    `may_profile` whether this process has CAP_SYS_ADMIN.
    """

    gpus: tuple[GpuInfo, ...] = ()
    driver: str = ""
    cuda: str = ""
    missing: str | None = None
    state: str | None = None
    lost: tuple[tuple[int, str], ...] = ()
    pci_gpus: int | None = None
    nouveau: bool = False
    module_version: str = ""
    device_nodes: tuple[str, ...] = ()
    admin_only: bool | None = None
    may_profile: bool = False


class CardFacts(Record, frozen=True, kw_only=True):
    """The state of one GPU over some seconds, from the sampler; None where the card does not give a value.

    Powers are in watts, temperatures in degrees Celsius; each is the highest reading. `reasons` are those of reduced
    clocks. `others` is the number of other processes that use the GPU, `unseen` the number of those not visible from
    here, and `programs` are notices about them.
    """

    uuid: str
    name: str = ""
    persistence: bool | None = None
    mig: bool | None = None
    driver_model: str = ""
    pcie_generation: float | None = None
    pcie_generation_max: float | None = None
    pcie_width: float | None = None
    pcie_width_max: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    power_limit_default_w: float | None = None
    temperature_c: float | None = None
    temperature_slowdown_c: float | None = None
    memory_used_mib: float | None = None
    reasons: tuple[str, ...] = ()
    reasons_known: bool = False
    others: float | None = None
    unseen: float | None = None
    programs: tuple[str, ...] = ()


class TensorflowGpu(Record, frozen=True, kw_only=True):
    """A GPU as TensorFlow lists it."""

    name: str
    device_name: str = ""
    compute_capability: str = ""


class TensorflowFacts(Record, frozen=True, kw_only=True):
    """TensorFlow's facts, from a process of its own.

    `stages` holds the result of each stage of the probe that was reached: `ok`, its error, or `begun`. `libraries` maps
    each CUDA library that this build needs to its path, empty where not found. `touched_ns` is when TensorFlow first
    used the GPU, `load_start_ns` to `load_end_ns` when it kept it busy. `died` says how the process ended if too early.
    """

    version: str = ""
    missing: str | None = None
    cuda_build: bool | None = None
    cuda: str = ""
    cudnn: str = ""
    capabilities: tuple[str, ...] = ()
    gpus: tuple[TensorflowGpu, ...] | None = None
    libraries: dict[str, str] = msgspec.field(default_factory=dict)
    libdevice: str = ""
    ptxas: str = ""
    stages: dict[str, str] = msgspec.field(default_factory=dict)
    gpu_events_traced: bool | None = None
    touched_ns: int | None = None
    load_start_ns: int | None = None
    load_end_ns: int | None = None
    died: str = ""
    log: str = ""


class BackendFacts(Record, frozen=True, kw_only=True):
    """The facts of JAX or PyTorch, from a process of its own; `stages`, `died` and `log` are as in `TensorflowFacts`.

    `cuda` is the CUDA version that it brings or was built for (JAX gives only the major version), empty for a CPU
    build, None where unknown. `gpus` are the names of the GPUs that it lists.
    """

    backend: str
    version: str = ""
    missing: str | None = None
    cuda: str | None = None
    capabilities: tuple[str, ...] = ()
    gpus: tuple[str, ...] | None = None
    stages: dict[str, str] = msgspec.field(default_factory=dict)
    died: str = ""
    log: str = ""


class Clash(Record, frozen=True, kw_only=True):
    """An installed package whose own requirement another installed package does not meet."""

    package: str
    requires: str
    installed: str


class PackageFacts(Record, frozen=True, kw_only=True):
    """Versions by distribution name, and requirements that are not met among them."""

    versions: dict[str, str] = msgspec.field(default_factory=dict)
    clashes: tuple[Clash, ...] = ()


class ClusterFacts(Record, frozen=True, kw_only=True):
    """The content of TF_CONFIG, if it is `given`: the addresses of all tasks by kind, and the task of this process.

    `wrong` says what is wrong with it, empty where nothing is. `port_taken` is None where that could not be tried.
    """

    given: bool = False
    tasks: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    kind: str = ""
    index: int = 0
    address: str = ""
    wrong: str = ""
    port_taken: bool | None = None


class Facts(Record, frozen=True, kw_only=True):
    """All gathered facts; `cards` are at rest, `cards_loaded` while TensorFlow computed (empty if it did not)."""

    system: SystemFacts
    driver: DriverFacts
    tensorflow: TensorflowFacts
    packages: PackageFacts
    backends: tuple[BackendFacts, ...] = ()
    cards: tuple[CardFacts, ...] = ()
    cards_loaded: tuple[CardFacts, ...] = ()
    cluster: ClusterFacts = ClusterFacts()

    @property
    def has_gpu(self) -> bool:
        """Whether the NVIDIA driver sees a GPU."""
        return bool(self.driver.gpus)
