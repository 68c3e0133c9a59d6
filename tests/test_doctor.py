"""The checks just above and below what decides them, from made facts; the gathering; and the command as it is used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Cli

from gpuprobe import telemetry
from gpuprobe.doctor import CheckResult, Facts, examine, gather
from gpuprobe.doctor.ask_tensorflow import ask
from gpuprobe.doctor.cards import cards
from gpuprobe.doctor.check import checks
from gpuprobe.doctor.checks.tensorflow import capability_fit
from gpuprobe.doctor.facts import (
    CardFacts,
    Clash,
    DriverFacts,
    PackageFacts,
    SystemFacts,
    TensorflowFacts,
    TensorflowGpu,
)
from gpuprobe.doctor.gather import wsl_version
from gpuprobe.records import GpuInfo

STAGES = dict.fromkeys(("import", "devices", "libraries", "compute", "convolution", "xla", "profiler", "load"), "ok")
CARD = CardFacts(
    uuid="GPU-1",
    name="Card",
    persistence=True,
    mig=False,
    pcie_generation=4,
    pcie_generation_max=4,
    pcie_width=16,
    pcie_width_max=16,
    power_w=200.0,
    power_limit_w=300.0,
    power_limit_default_w=300.0,
    temperature_c=60.0,
    temperature_slowdown_c=90.0,
    memory_used_mib=300.0,
    reasons_known=True,
    others=0.0,
    unseen=0.0,
)
GPU = GpuInfo(index=0, name="Card", uuid="GPU-1", compute_capability="8.6", memory_mib=24576.0)
HEALTHY = Facts(
    system=SystemFacts(
        release="6.8.0",
        python="3.12.1",
        cpu_count=16,
        affinity=16,
        memory_mib=64000.0,
        memory_available_mib=32000.0,
    ),
    driver=DriverFacts(gpus=(GPU,), driver="560.35", cuda="12.6", pci_gpus=1, admin_only=False),
    tensorflow=TensorflowFacts(
        version="2.21.0",
        cuda_build=True,
        cuda="12.5.1",
        cudnn="9",
        capabilities=("sm_60", "sm_70", "sm_80", "sm_89", "compute_90"),
        gpus=(TensorflowGpu(name="/physical_device:GPU:0", device_name="Card", compute_capability="8.6"),),
        libraries=dict.fromkeys(("cudart", "cublas", "cudnn"), "/lib/x.so.12") | {"cupti": "/lib/libcupti.so.12"},
        libdevice="/cuda/nvvm/libdevice/libdevice.10.bc",
        ptxas="/cuda/bin/ptxas",
        stages=STAGES,
        gpu_events_traced=True,
    ),
    packages=PackageFacts(
        versions={"tensorflow": "2.21.0", "tensorboard": "2.21.0", "xprof": "2.24.2", "setuptools": "84.0"}
    ),
    cards=(CARD,),
    cards_loaded=(CARD,),
)


def made(facts: Facts = HEALTHY, **parts: dict[str, Any]) -> Facts:
    """Replace some fields of some parts: `made(driver={"cuda": "11.8"})`."""
    changed = {name: msgspec.structs.replace(getattr(facts, name), **fields) for name, fields in parts.items()}
    return msgspec.structs.replace(facts, **changed)


def with_card(*, loaded: bool = True, **fields: Any) -> Facts:
    card = msgspec.structs.replace(CARD, **fields)
    return msgspec.structs.replace(HEALTHY, cards=(card,), cards_loaded=(card,) if loaded else ())


def with_gpu(**fields: Any) -> Facts:
    return made(driver={"gpus": (msgspec.structs.replace(GPU, **fields),)})


def no_gpu(**driver: Any) -> Facts:
    fields = {"gpus": (), "driver": "", "cuda": "", "missing": "no NVIDIA driver", "pci_gpus": 0, **driver}
    facts = made(driver=fields, tensorflow={"gpus": (), "gpu_events_traced": False})
    return msgspec.structs.replace(facts, cards=(), cards_loaded=())


def result(facts: Facts, name: str) -> CheckResult:
    return next(found for found in examine(facts).results if found.name == name)


def test_a_healthy_machine_passes_every_check() -> None:
    report = examine(HEALTHY)
    assert {found.name: found.status for found in report.results} == dict.fromkeys(checks(), "pass")


def test_without_a_gpu_nothing_fails_and_no_check_of_the_gpu_passes() -> None:
    report = examine(no_gpu())
    assert report.count("fail") == report.count("warn") == 0
    passed = {found.name for found in report.results if found.status == "pass"}
    assert {"tensorflow_imports", "first_kernel", "xla", "trace_capture", "processors", "tensorboard"} <= passed
    assert not passed & {"gpu_driver", "driver_cuda", "tensorflow_gpu", "pcie_link", "cupti_allowed", "mig"}


def test_facts_of_which_nothing_is_known_pass_no_check_that_needs_them() -> None:
    bare = Facts(
        system=SystemFacts(),
        driver=DriverFacts(gpus=(GpuInfo(index=0, name="Card"),)),
        tensorflow=TensorflowFacts(),
        packages=PackageFacts(),
    )
    passed = {found.name for found in examine(bare).results if found.status == "pass"}
    # What is left are facts that a record always holds.
    names = {"gpu_driver", "platform", "processors", "switches", "package_versions", "meter", "tensorflow_imports"}
    assert passed <= names


@pytest.mark.parametrize("status", ["warn", "fail"])
def test_whatever_is_wrong_has_a_fix(status: str) -> None:
    for name, facts, expected in CASES:
        found = result(facts, name)
        if found.status == status == expected:
            assert found.fix, name
            assert found.says, name


def log(text: str, **fields: Any) -> Facts:
    return made(tensorflow={"log": text, **fields})


def blind(text: str = "", **fields: Any) -> Facts:
    return log(text, gpus=(), gpu_events_traced=False, **fields)


def stage(name: str, state: str, **fields: Any) -> Facts:
    return made(tensorflow={"stages": STAGES | {name: state}, **fields})


DLOPEN = "W0000 gpu_device.cc:2431] Cannot dlopen some GPU libraries. Skipping registering GPU devices..."
NOT_ALLOWED = "E cupti_error_manager.cc: CUPTI_ERROR_INSUFFICIENT_PRIVILEGES"
WSL = {"release": "5.15.153.1-microsoft-standard-WSL2", "wsl": 2}
OTHER = {"others": 1.0, "programs": ("process 7 (python) holds 2000 MiB of its memory",)}

CASES: list[tuple[str, Facts, str]] = [
    ("gpu_driver", no_gpu(state="driver_mismatch", pci_gpus=1), "fail"),
    ("gpu_driver", no_gpu(state="no_permission", pci_gpus=1), "fail"),
    ("gpu_driver", no_gpu(state="driver_hung", pci_gpus=None), "fail"),
    ("gpu_driver", no_gpu(state="no_driver", pci_gpus=0), "skip"),
    ("gpu_driver", no_gpu(pci_gpus=1), "fail"),
    ("gpu_driver", no_gpu(pci_gpus=0), "skip"),
    ("gpu_driver", no_gpu(pci_gpus=None), "skip"),
    ("gpu_driver", made(no_gpu(device_nodes=("/dev/dxg",)), system=WSL), "fail"),
    ("driver_cuda", made(driver={"cuda": "12.5"}), "pass"),
    ("driver_cuda", made(driver={"cuda": "12.4"}), "warn"),
    ("driver_cuda", made(driver={"cuda": "11.8"}), "fail"),
    ("driver_cuda", made(driver={"cuda": "13.0"}), "pass"),
    ("driver_cuda", made(driver={"cuda": ""}), "skip"),
    ("driver_cuda", made(tensorflow={"cuda": ""}), "skip"),
    ("tensorflow_imports", made(tensorflow={"missing": "it is not installed"}), "fail"),
    ("tensorflow_imports", made(tensorflow={"missing": "stage import was ended by SIGILL"}), "fail"),
    ("tensorflow_gpu", made(tensorflow={"gpus": None}), "skip"),
    ("tensorflow_gpu", blind(DLOPEN), "fail"),
    ("tensorflow_gpu", blind(cuda_build=False), "fail"),
    ("tensorflow_gpu", blind("failed call to cuInit: CUDA_ERROR_NO_DEVICE: no CUDA-capable device"), "fail"),
    ("tensorflow_gpu", blind("I0000 cudart_stub.cc:31] Could not find cuda drivers on your machine"), "fail"),
    ("tensorflow_gpu", made(blind(), system={"environment": {"CUDA_VISIBLE_DEVICES": "-1"}}), "fail"),
    ("tensorflow_gpu", blind("nothing that is known"), "fail"),
    ("compute_capability", with_gpu(compute_capability="6.1"), "pass"),
    ("compute_capability", with_gpu(compute_capability="5.2"), "fail"),
    ("compute_capability", with_gpu(compute_capability="9.0"), "warn"),
    ("compute_capability", with_gpu(compute_capability="12.0"), "warn"),
    ("compute_capability", with_gpu(compute_capability=""), "skip"),
    ("first_kernel", stage("convolution", "InternalError: DNN library initialization failed"), "fail"),
    ("first_kernel", stage("compute", "begun", died="stage compute had not ended after 120 s"), "fail"),
    ("first_kernel", made(tensorflow={"stages": {}, "missing": "it is not installed"}), "skip"),
    ("xla", stage("xla", "InternalError: libdevice not found at ./libdevice.10.bc"), "fail"),
    ("xla", stage("xla", "NotFoundError: No PTX compilation provider is available"), "fail"),
    ("xla", stage("xla", "InternalError: something else"), "fail"),
    ("cupti_library", log("W Could not load dynamic library 'libcupti.so.12'"), "fail"),
    ("cupti_library", made(tensorflow={"libraries": {"cupti": ""}}), "fail"),
    ("cupti_library", made(tensorflow={"libraries": {"cupti": "/lib/libcupti.so.11.8"}}), "fail"),
    ("cupti_library", made(tensorflow={"libraries": {"cupti": "/lib/libcupti.so.12"}}), "pass"),
    ("cupti_library", made(tensorflow={"libraries": {"cupti": "/lib/libcupti.so.2024.2.1"}}), "pass"),
    ("cupti_library", made(tensorflow={"libraries": {}}), "skip"),
    ("cupti_allowed", log(NOT_ALLOWED), "fail"),
    ("cupti_allowed", made(driver={"admin_only": True}), "fail"),
    ("cupti_allowed", made(driver={"admin_only": True, "may_profile": True}), "pass"),
    ("cupti_allowed", made(driver={"admin_only": None}), "skip"),
    ("cupti_allowed", made(system=WSL), "skip"),
    ("trace_capture", log("CUPTI_ERROR_MAX_LIMIT_REACHED"), "fail"),
    ("trace_capture", stage("profiler", "begun", died="stage profiler was ended by SIGSEGV"), "fail"),
    (
        "trace_capture",
        log("GpuTracer has collected 0 callback api events and 0 activity events.", gpu_events_traced=False),
        "fail",
    ),
    ("trace_capture", log("", gpu_events_traced=False), "warn"),
    ("mixed_precision", with_gpu(compute_capability="6.1"), "warn"),
    ("mixed_precision", with_gpu(compute_capability="7.0"), "pass"),
    ("mixed_precision", with_gpu(compute_capability="7.5", name="Tesla T4"), "pass"),
    ("mixed_precision", with_gpu(compute_capability="7.5", name="NVIDIA GeForce GTX 1660 Ti"), "warn"),
    ("mixed_precision", with_gpu(compute_capability=""), "skip"),
    ("pcie_link", with_card(pcie_width=8), "warn"),
    ("pcie_link", with_card(pcie_generation=1), "warn"),
    ("pcie_link", with_card(pcie_generation=None), "skip"),
    ("pcie_link", with_card(loaded=False, pcie_generation=1), "skip"),
    ("power_and_heat", with_card(reasons=("hardware thermal slowdown",)), "warn"),
    ("power_and_heat", with_card(reasons=("power cap",)), "pass"),
    ("power_and_heat", with_card(reasons_known=False), "skip"),
    ("power_and_heat", with_card(power_limit_w=299.0), "warn"),
    ("power_and_heat", with_card(loaded=False), "skip"),
    ("persistence", with_card(persistence=False), "warn"),
    ("persistence", with_card(persistence=None), "skip"),
    ("persistence", made(system=WSL), "skip"),
    ("gpu_processes", with_card(**OTHER), "warn"),
    ("gpu_processes", with_card(unseen=1.0), "warn"),
    ("gpu_processes", with_card(others=None), "skip"),
    ("gpu_processes", with_card(memory_used_mib=1025.0), "warn"),
    ("gpu_processes", with_card(memory_used_mib=1024.0), "pass"),
    ("gpu_memory", with_card(others=1.0), "warn"),
    (
        "gpu_memory",
        made(with_card(others=1.0), system={"environment": {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}}),
        "pass",
    ),
    ("mig", with_card(mig=True), "warn"),
    ("mig", with_card(mig=None), "skip"),
    (
        "mig",
        made(with_card(mig=None), driver={"gpus": (msgspec.structs.replace(GPU, compute_capability="7.5"),)}),
        "pass",
    ),
    ("platform", made(system=WSL), "warn"),
    ("platform", made(system={"wsl": 1}), "fail"),
    ("platform", made(system={"system": "Windows"}), "fail"),
    ("platform", made(system={"system": "Windows"}, tensorflow={"version": "2.10.1"}), "warn"),
    ("processors", made(system={"cpu_quota": 15.5}), "warn"),
    ("processors", made(system={"cpu_quota": 16.0}), "pass"),
    ("host_memory", made(system={"memory_available_mib": 6399.0}), "warn"),
    ("host_memory", made(system={"memory_available_mib": 6400.0}), "pass"),
    ("host_memory", made(system={"memory_available_mib": None}), "skip"),
    ("switches", made(system={"environment": {"CUDA_LAUNCH_BLOCKING": "1"}}), "warn"),
    ("switches", made(system={"environment": {"CUDA_LAUNCH_BLOCKING": "0"}}), "pass"),
    ("switches", made(system={"environment": {"LD_LIBRARY_PATH": "/usr/local/cuda-11.2/lib64"}}), "warn"),
    ("tensorboard", made(packages={"versions": {"tensorboard": "2.20.0", "setuptools": "82.0"}}), "fail"),
    ("tensorboard", made(packages={"versions": {"tensorboard": "2.20.0", "setuptools": "81.9", "xprof": "2"}}), "pass"),
    ("tensorboard", made(packages={"versions": {"tensorboard": "2.20.0", "xprof": "2"}}), "fail"),
    ("tensorboard", made(packages={"versions": {"tensorboard": "2.21.0", "setuptools": "82.0"}}), "warn"),
    ("tensorboard", made(packages={"versions": {}}), "warn"),
    (
        "package_versions",
        made(packages={"clashes": (Clash(package="xprof", requires="protobuf>=6", installed="5.1"),)}),
        "warn",
    ),
    ("package_versions", made(packages={"versions": {"tensorflow": "2.21", "tensorflow-cpu": "2.21"}}), "fail"),
    ("package_versions", made(packages={"versions": {"pynvml": "11.5"}}), "warn"),
    ("package_versions", made(packages={"versions": {"pynvml": "12.0"}}), "pass"),
    ("meter", made(system=WSL), "warn"),
    ("meter", with_card(mig=True), "warn"),
]


@pytest.mark.parametrize(("name", "facts", "status"), CASES, ids=[f"{case[0]}-{n}" for n, case in enumerate(CASES)])
def test_a_check_decides_as_the_facts_say(name: str, facts: Facts, status: str) -> None:
    found = result(facts, name)
    assert found.status == status, found


@pytest.mark.parametrize(
    ("name", "facts", "words"),
    [
        ("gpu_driver", no_gpu(state="driver_mismatch"), "reboot"),
        ("tensorflow_gpu", blind(DLOPEN, libraries={"cudnn": "", "cudart": "/x"}), "libcudnn"),
        ("tensorflow_gpu", made(blind(), system={"environment": {"CUDA_VISIBLE_DEVICES": ""}}), "unset"),
        ("cupti_allowed", log(NOT_ALLOWED), "NVreg_RestrictProfilingToAdminUsers=0"),
        ("cupti_allowed", made(log(NOT_ALLOWED), system={"container": True}), "--cap-add=SYS_ADMIN"),
        ("xla", stage("xla", "libdevice not found"), "--xla_gpu_cuda_data_dir=/cuda"),
        ("mixed_precision", with_gpu(compute_capability="6.1"), "1/64"),
        ("pcie_link", with_card(pcie_width=8), "generation 4 x8 of generation 4 x16"),
        ("gpu_processes", with_card(**OTHER), "process 7 (python)"),
        ("processors", made(system={"cpu_quota": 2.5}), "set_intra_op_parallelism_threads(2)"),
        ("platform", made(system=WSL), "on Windows alone"),
        ("tensorboard", made(packages={"versions": {"tensorboard": "2.20", "setuptools": "82"}}), "pkg_resources"),
        ("meter", made(system=WSL), "Compute_0"),
    ],
)
def test_what_is_said_names_the_evidence_and_the_fix(name: str, facts: Facts, words: str) -> None:
    found = result(facts, name)
    assert words in found.says + found.fix, found


@pytest.mark.parametrize(
    ("capability", "built", "fit"),
    [
        ("6.1", ("sm_60",), "native"),
        ("6.0", ("sm_61",), "none"),
        ("7.0", ("sm_60",), "none"),
        ("7.0", ("compute_60",), "compiled"),
        ("12.0", ("sm_120",), "native"),
        ("9.0", ("sm_90a",), "native"),
    ],
)
def test_a_capability_fits_binaries_of_its_major_version_and_older_intermediate_code(
    capability: str, built: tuple[str, ...], fit: str
) -> None:
    assert capability_fit(capability, built) == fit


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ("5.15.153.1-microsoft-standard-WSL2", 2),
        ("4.19.84-microsoft-standard", 2),
        ("4.4.0-19041-Microsoft", 1),
        ("6.8.0-45-generic", 0),
    ],
)
def test_wsl_is_told_by_the_release_of_the_kernel(release: str, version: int) -> None:
    assert wsl_version(release) == version


def recorded(path: Path, *lines: str) -> telemetry.Telemetry:
    header = "t_ns,said,gpu0_pcie_generation,gpu0_pcie_width,gpu0_throttle_reasons,gpu0_other_processes"
    path.write_text("\n".join([header, *lines]) + "\n")
    return telemetry.read(path)


def test_a_card_is_read_within_the_given_stretch_alone(tmp_path: Path) -> None:
    recording = recorded(
        tmp_path / "t.csv",
        "1000000000,gpu0: other_process: process 7 (python) holds 2000 MiB of its memory,1,16,1,1",
        "2000000000,,3,8,64,0",
        "3000000000,,3,8,5,0",
    )
    facts: dict[str, str | float | bool] = {"pcie_generation_max": 3.0, "pcie_width_max": 16.0, "mig_mode": False}
    gpus = (msgspec.structs.replace(GPU, facts=facts),)
    (rest,) = cards(recording, gpus, 0, 1_500_000_000)
    assert (rest.pcie_generation, rest.others, rest.reasons, rest.persistence, rest.mig) == (1, 1, (), None, False)
    assert rest.programs == ("process 7 (python) holds 2000 MiB of its memory",)
    (work,) = cards(recording, gpus, 1_500_000_000, 3_000_000_000)
    assert (work.pcie_generation, work.pcie_width, work.pcie_width_max) == (3, 8, 16)
    assert work.reasons == ("power cap", "hardware thermal slowdown")
    assert cards(recording, gpus, 4_000_000_000, 5_000_000_000) == ()


def stand_in(folder: Path, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a module in TensorFlow's place, as a child process will import it."""
    (folder / "tensorflow.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "stage import was ended by SIGSEGV"),
        ("import os; os._exit(3)", "stage import ended the process with exit code 3"),
        ("import time; time.sleep(60)", "stage import had not ended after 3 s"),
        ("raise ImportError('libfoo.so.1: cannot open shared object file')", "libfoo.so.1"),
        ("raise ModuleNotFoundError(\"No module named 'tensorflow'\")", "not installed"),
    ],
)
def test_a_tensorflow_that_does_not_import_is_one_reason(
    program: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, program, monkeypatch)
    found = ask(3.0 if "sleep" in program else 60.0)
    assert words in (found.missing or "")
    assert result(msgspec.structs.replace(HEALTHY, tensorflow=found), "tensorflow_imports").status == "fail"


def test_a_stage_that_fails_does_not_hide_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = """
import sys
print("E0000 cuda_dnn.cc] Loaded runtime CuDNN library: 8.9.4 but source was compiled with: 9.3.0", file=sys.stderr)
print("a plug-in says hello")
__version__ = "2.99"
class sysconfig:
    get_build_info = staticmethod(lambda: {"is_cuda_build": True, "cuda_version": "12.5.1", "cudnn_version": "9"})
class config:
    list_physical_devices = staticmethod(lambda kind: [])
"""
    stand_in(tmp_path, program, monkeypatch)
    found = ask(60.0)
    assert (found.version, found.cuda, found.gpus) == ("2.99", "12.5.1", ())
    assert found.stages["compute"].startswith("AttributeError")
    assert "Loaded runtime CuDNN" in found.log
    there = msgspec.structs.replace(found, libraries=HEALTHY.tensorflow.libraries)
    facts = msgspec.structs.replace(HEALTHY, tensorflow=there)
    assert "cuDNN" in result(facts, "tensorflow_gpu").says
    assert result(facts, "first_kernel").status == "fail"


def test_checking_imports_no_tensorflow() -> None:
    program = "import sys, gpuprobe.doctor as d; from gpuprobe.doctor.check import checks; checks(); "
    program += "assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_the_facts_and_results_come_back_from_json() -> None:
    encoded = msgspec.json.encode(examine(HEALTHY))
    assert msgspec.json.decode(encoded, type=type(examine(HEALTHY))) == examine(HEALTHY)


def test_gathering_finds_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, "raise ImportError('not here')", monkeypatch)
    facts = gather(60.0)
    assert facts.system.affinity == len(os.sched_getaffinity(0))
    assert facts.packages.versions["keras"]
    assert facts.system.memory_mib is not None


def test_a_card_of_the_driver_is_read_at_rest(driver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, "raise ImportError('not here')", monkeypatch)
    facts = gather(60.0)
    assert [gpu.name for gpu in facts.driver.gpus] == ["NVIDIA GeForce GTX 1060 3GB"]
    assert facts.cards[0].power_w == 61.5
    assert facts.cards_loaded == ()
    assert result(facts, "tensorflow_gpu").status == result(facts, "pcie_link").status == "skip"


def test_a_card_is_read_while_tensorflow_keeps_it_busy(
    driver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = """
import time, types
import numpy
class Tensor:
    def numpy(self): return numpy.ones(1024)
    def __mul__(self, factor): return self
__version__ = "2.99"
gpu = types.SimpleNamespace(name="/physical_device:GPU:0")
sysconfig = types.SimpleNamespace(get_build_info=lambda: {"is_cuda_build": True, "cuda_version": "12.5.1"})
config = types.SimpleNamespace(
    list_physical_devices=lambda kind: [gpu],
    experimental=types.SimpleNamespace(
        set_memory_growth=lambda gpu, on: None,
        get_device_details=lambda gpu: {"device_name": "GTX", "compute_capability": (6, 1)},
    ),
)
constant = lambda value: Tensor()
linalg = types.SimpleNamespace(matmul=lambda a, b: a)
reduce_sum = lambda x: time.sleep(0.05) or 0.0
"""
    stand_in(tmp_path, program, monkeypatch)
    facts = gather(60.0)
    assert facts.tensorflow.stages["load"] == "ok"
    assert facts.tensorflow.gpus == (
        TensorflowGpu(name="/physical_device:GPU:0", device_name="GTX", compute_capability="6.1"),
    )
    assert facts.cards_loaded[0].power_w == 61.5
    assert result(facts, "tensorflow_gpu").status == "pass"
    assert result(facts, "mixed_precision").status == "warn"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("init 18", "differ in version"),
        ("init 4", "refuses"),
        ("init 9", "loaded"),
        ("crash.init 1", "crashes"),
        ("devices 2\ngpu1.fail.all 15", "GPU 1 of 2 does not answer: the GPU has fallen off the bus"),
    ],
)
def test_a_driver_that_cannot_be_used_fails_with_its_reason(
    script: str, words: str, driver: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, "raise ImportError('not here')", monkeypatch)
    driver.write_text(script + "\n")
    done = cli("doctor")
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if line.startswith("FAIL NVIDIA driver") and words in line]


def test_the_command_exits_with_one_where_something_fails(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, "raise ImportError('libfoo.so.1 is missing')", monkeypatch)
    done = cli("doctor")
    assert done.returncode == 1
    assert "FAIL TensorFlow imports: its import does not end well" in done.stdout
    assert "     fix: " in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_the_command_on_this_machine_agrees_with_its_json(cli: Cli) -> None:
    done = cli("doctor", "--json")
    report = json.loads(done.stdout)
    failed = [found["name"] for found in report["results"] if found["status"] == "fail"]
    assert done.returncode == (1 if failed else 0), failed
    names = {found["name"]: found["status"] for found in report["results"]}
    assert set(names) == set(checks())
    assert names["tensorflow_imports"] == names["first_kernel"] == names["trace_capture"] == "pass"
    assert all(found["fix"] for found in report["results"] if found["status"] in {"warn", "fail"})


def test_a_limit_that_is_no_time_is_wrong_usage(cli: Cli) -> None:
    done = cli("doctor", "--limit", "soon")
    assert done.returncode == 2
    assert "--limit" in done.stderr
