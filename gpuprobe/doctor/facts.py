"""All that the checks look at, as one frozen record: what is unknown is None or empty, with its reason beside it."""

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
    """The NVIDIA driver: what NVML says (`state` names why it says nothing), and what the kernel shows.

    `lost` holds (number, state) of each GPU in its list that does not answer.

    `pci_gpus` is how many NVIDIA display devices the PCI bus holds (None where it cannot be seen), `admin_only` the
    module's RmProfilingAdminOnly, `may_profile` whether this process has CAP_SYS_ADMIN.
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
    """The state of one GPU over some seconds, as the sampler read it; None is what the card does not tell.

    Powers are in watts, temperatures in degrees Celsius, the highest of each; `reasons` is what held the clocks down.
    `others` is how many processes besides our own had the GPU open, `unseen` how many more that cannot be seen from
    here, `programs` what is known of them.
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
    """What TensorFlow said in a process of its own.

    `stages` holds what each stage of the probe found: `ok`, its error, or `begun`; one that was not reached is not in
    it. `libraries` maps each CUDA library that this build wants to where it was found, empty where it was not. The
    times are when TensorFlow first touched the GPU, and the stretch in which it kept it busy. `died` says how the
    process ended where it ended early.
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
    """What JAX or PyTorch said in a process of its own; `stages`, `died` and `log` as in `TensorflowFacts`.

    `cuda` is the version that it brings or was built for (JAX tells the major one alone), empty where it is for the
    processor, None where it did not come to tell. `gpus` are their names as it lists them.
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
    """What TF_CONFIG says where it is `given`: the addresses of all tasks by kind, and which of them this one is.

    `wrong` says what is wrong with it, empty where nothing is; `port_taken` is None where that could not be tried.
    """

    given: bool = False
    tasks: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    kind: str = ""
    index: int = 0
    address: str = ""
    wrong: str = ""
    port_taken: bool | None = None


class Facts(Record, frozen=True, kw_only=True):
    """Everything that was gathered; `cards` at rest, `cards_loaded` while TensorFlow computed (empty where not)."""

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
