"""Package conflicts: TensorBoard, its profile plugin, protobuf, and packages that must not be installed together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from gpuprobe import wording
from gpuprobe.doctor.check import NOT_INSTALLED, CheckResult, check, failed, passed, skipped, warned

if TYPE_CHECKING:
    from gpuprobe.doctor.facts import Facts

ORDER = 60
# TensorBoard up to 2.20 imports pkg_resources, which setuptools dropped in 82 (tensorboard#7003 and later threads).
FIXED_TENSORBOARD, SETUPTOOLS_WITHOUT = Version("2.21"), Version("82")
# From version 12 on the package pynvml only requires nvidia-ml-py; before, it contained an old pynvml.py.
HARMLESS_PYNVML = Version("12")
INSTALL_PROFILER = "pip install --upgrade tensorboard tensorboard-plugin-profile"
TENSORFLOWS = ("tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tf-nightly")


@check("TensorBoard")
def tensorboard(facts: Facts) -> CheckResult:
    """Check that TensorBoard and its profile plugin are installed, and that it starts with this setuptools."""
    versions = facts.packages.versions
    tensorboard_version = versions.get("tensorboard") or versions.get("tb-nightly")
    if tensorboard_version is None and facts.tensorflow.missing == NOT_INSTALLED:
        return skipped("not installed, as TensorFlow is not; gpuprobe shows its traces without it")
    if tensorboard_version is None:
        return warned("not installed: traces can be captured, not viewed", INSTALL_PROFILER)
    setuptools = _parsed_version(versions.get("setuptools"))
    parsed_tensorboard = _parsed_version(tensorboard_version)
    if (
        parsed_tensorboard is not None
        and parsed_tensorboard < FIXED_TENSORBOARD
        and (setuptools is None or setuptools >= SETUPTOOLS_WITHOUT)
    ):
        with_tools = f"setuptools {setuptools}" if setuptools else "no setuptools"
        says = f"{tensorboard_version} does not start with {with_tools}: No module named 'pkg_resources'"
        return failed(says, "pip install --upgrade 'tensorboard>=2.21'")
    if "tensorboard-plugin-profile" not in versions and "xprof" not in versions:
        return warned(
            f"{tensorboard_version}, without the profiler's plugin: traces cannot be viewed", INSTALL_PROFILER
        )
    plugin_version = versions.get("xprof") or versions.get("tensorboard-plugin-profile")
    return passed(f"{tensorboard_version}, with the profiler's plugin {plugin_version}")


@check("package versions")
def package_versions(facts: Facts) -> CheckResult:
    """Check that packages for training and profiling meet each other's requirements, and none is installed twice."""
    versions, clashes = facts.packages.versions, facts.packages.clashes
    tensorflow_packages = [package for package in TENSORFLOWS if package in versions]
    if len(tensorflow_packages) > 1:
        says = f"{wording.listing(tensorflow_packages)} write into the same folder"
        return failed(says, f"pip uninstall -y {' '.join(tensorflow_packages)}; pip install 'tensorflow[and-cuda]'")
    if "tensorboard" in versions and "tb-nightly" in versions:
        return failed("tensorboard and tb-nightly write into the same folder", "pip uninstall -y tb-nightly")
    if clashes:
        first_clash = clashes[0]
        says = f"{first_clash.package} wants {first_clash.requires}, {first_clash.installed} is installed"
        if len(clashes) > 1:
            says += f", and {wording.count(len(clashes) - 1, 'more clash', 'more clashes')}"
        clash_lines = [f"{clash.package} wants {clash.requires}: {clash.installed}" for clash in clashes]
        return warned(says, f"pip install '{first_clash.requires}'", *clash_lines)
    pynvml = _parsed_version(versions.get("pynvml"))
    if pynvml is not None and pynvml < HARMLESS_PYNVML:
        says = f"the abandoned package pynvml {pynvml} conflicts with nvidia-ml-py"
        return warned(says, "pip uninstall -y pynvml; pip install --force-reinstall nvidia-ml-py")
    main_versions = [
        f"{package} {versions[package]}" for package in ("keras", "protobuf", "numpy") if package in versions
    ]
    return passed(f"no clash among {len(versions)}" + (f"; {', '.join(main_versions)}" if main_versions else ""))


def _parsed_version(version: str | None) -> Version | None:
    try:
        return Version(version) if version else None
    except InvalidVersion:
        return None
