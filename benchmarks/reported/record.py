"""Records the scripts of this folder for the tests. `python benchmarks/reported/record.py [NAME ...]`

Each is watched as a user does it, flawed and fixed; a copy of it that is fit to publish is kept for the tests.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
KEPT = HERE.parent.parent / "tests" / "recorded" / "reported"
NO_SCRIPTS = {"common", "record"}
PROGRAM = (sys.executable, "-m", "gpuprobe.cli")
# What no diagnosis needs.
WRITTEN_AGAIN = {"report.md", "report.html", "report.json", "plots"}


def names() -> list[str]:
    """Return the names of the scripts."""
    return sorted(path.stem for path in HERE.glob("*.py") if path.stem not in NO_SCRIPTS)


def recorded(name: str, twin: str) -> Path:
    """Watch one twin, and pack what is recorded; return the file."""
    with tempfile.TemporaryDirectory() as scratch:
        watched = Path(scratch) / "watched"
        training = ("--", sys.executable, str(HERE / f"{name}.py"), twin)
        subprocess.run([*PROGRAM, "watch", "--trace", "--no-live", "--out", str(watched), *training], check=True)
        return pack(watched, name, twin)


def pack(watched: Path, name: str, twin: str) -> Path:
    """Pack the recording of a twin; return the file."""
    with tempfile.TemporaryDirectory() as scratch:
        public = Path(scratch) / "public"
        subprocess.run([*PROGRAM, "report", str(watched), "--share", str(public)], check=True)
        packed = KEPT / f"{name}-{twin}.tar.xz"
        KEPT.mkdir(parents=True, exist_ok=True)
        with tarfile.open(packed, "w:xz", preset=9) as archive:
            for path in sorted(public.rglob("*")):
                place = path.relative_to(public)
                if path.is_file() and place.parts[0] not in WRITTEN_AGAIN:
                    archive.add(path, str(place), filter=_nobodys)
    return packed


def _nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    for wanted in sys.argv[1:] or names():
        for each in ("flawed", "fixed"):
            print(recorded(wanted, each), flush=True)
