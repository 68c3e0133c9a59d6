"""The checks of the doctor, from made facts just above and below what decides them."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from gpuprobe.doctor import Facts, examine
from gpuprobe.doctor.check import checks
from gpuprobe.doctor.checks.tensorflow_compute import capability_fit
from gpuprobe.doctor.facts import (
    Clash,
    DriverFacts,
    PackageFacts,
    SystemFacts,
    TensorflowFacts,
)
from gpuprobe.doctor.gather import wsl_version
from gpuprobe.records import GpuInfo
from tests.helpers.machines import GPU, HEALTHY, blind, log, made, no_gpu, result, stage, with_card, with_gpu


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
    assert passed <= names | {"several_gpus", "several_workers"}


@pytest.mark.parametrize(
    ("facts", "first"),
    [
        (HEALTHY, None),
        (made(blind(libraries={"cudnn": ""}), driver={"cuda": "11.4"}), "driver_cuda"),
        (made(blind(), packages={"versions": {"tensorflow": "2.21", "tensorflow-cpu": "2.21"}}), "package_versions"),
        (made(blind(cuda_build=False), system={"system": "Windows"}), "platform"),
    ],
)
def test_what_others_fail_by_is_to_be_mended_first(facts: Facts, first: str | None) -> None:
    found = examine(facts).first
    assert (None if found is None else found.name) == first


@pytest.mark.parametrize("status", ["warn", "fail"])
def test_whatever_is_wrong_has_a_fix(status: str) -> None:
    for name, facts, expected in CASES:
        found = result(facts, name)
        if found.status == status == expected:
            assert found.fix, name
            assert found.says, name


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
        ("tensorflow_gpu", made(blind(cuda_build=False), system={"system": "Windows"}), "wsl --install"),
        (
            "tensorflow_gpu",
            made(blind(DLOPEN), system={"environment": {"LD_LIBRARY_PATH": "/opt/cuda-11/lib64"}}),
            "unset LD_LIBRARY_PATH (it names /opt/cuda-11/lib64)",
        ),
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


def test_checking_imports_no_tensorflow() -> None:
    program = "import sys, gpuprobe.doctor as d; from gpuprobe.doctor.check import checks; checks(); "
    program += "assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_facts_and_results_come_back_from_json() -> None:
    encoded = msgspec.json.encode(examine(HEALTHY))
    assert msgspec.json.decode(encoded, type=type(examine(HEALTHY))) == examine(HEALTHY)
