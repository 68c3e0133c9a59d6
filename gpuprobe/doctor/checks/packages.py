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
# From 12 on the package pynvml only asks for nvidia-ml-py; before, it brought an old pynvml.py of its own.
HARMLESS_PYNVML = Version("12")
PROFILE = "pip install --upgrade tensorboard tensorboard-plugin-profile"
TENSORFLOWS = ("tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tf-nightly")


@check("TensorBoard")
def tensorboard(facts: Facts) -> CheckResult:
    """TensorBoard and its profiler's plugin are installed, and TensorBoard starts with this setuptools."""
    versions = facts.packages.versions
    board = versions.get("tensorboard") or versions.get("tb-nightly")
    if board is None and facts.tensorflow.missing == NOT_INSTALLED:
        return skipped("not installed, as TensorFlow is not; gpuprobe shows its traces without it")
    if board is None:
        return warned("not installed: traces can be captured, not viewed", PROFILE)
    tools = _version(versions.get("setuptools"))
    own = _version(board)
    if own is not None and own < FIXED_TENSORBOARD and (tools is None or tools >= SETUPTOOLS_WITHOUT):
        with_tools = f"setuptools {tools}" if tools else "no setuptools"
        says = f"{board} does not start with {with_tools}: No module named 'pkg_resources'"
        return failed(says, "pip install --upgrade 'tensorboard>=2.21'")
    if "tensorboard-plugin-profile" not in versions and "xprof" not in versions:
        return warned(f"{board}, without the profiler's plugin: traces cannot be viewed", PROFILE)
    plugin = versions.get("xprof") or versions.get("tensorboard-plugin-profile")
    return passed(f"{board}, with the profiler's plugin {plugin}")


@check("package versions")
def package_versions(facts: Facts) -> CheckResult:
    """The packages of training and profiling meet each other's requirements, and none stands beside its double."""
    versions, clashes = facts.packages.versions, facts.packages.clashes
    several = [name for name in TENSORFLOWS if name in versions]
    if len(several) > 1:
        says = f"{wording.listing(several)} write into the same folder"
        return failed(says, f"pip uninstall -y {' '.join(several)}; pip install 'tensorflow[and-cuda]'")
    if "tensorboard" in versions and "tb-nightly" in versions:
        return failed("tensorboard and tb-nightly write into the same folder", "pip uninstall -y tb-nightly")
    if clashes:
        first = clashes[0]
        says = f"{first.package} wants {first.requires}, {first.installed} is installed"
        if len(clashes) > 1:
            says += f", and {wording.count(len(clashes) - 1, 'more clash', 'more clashes')}"
        lines = [f"{clash.package} wants {clash.requires}: {clash.installed}" for clash in clashes]
        return warned(says, f"pip install '{first.requires}'", *lines)
    own = _version(versions.get("pynvml"))
    if own is not None and own < HARMLESS_PYNVML:
        says = f"the abandoned package pynvml {own} conflicts with nvidia-ml-py"
        return warned(says, "pip uninstall -y pynvml; pip install --force-reinstall nvidia-ml-py")
    shown = [f"{name} {versions[name]}" for name in ("keras", "protobuf", "numpy") if name in versions]
    return passed(f"no clash among {len(versions)}" + (f"; {', '.join(shown)}" if shown else ""))


def _version(text: str | None) -> Version | None:
    try:
        return Version(text) if text else None
    except InvalidVersion:
        return None
