"""Take the picture of the demo report's first screen: `python docs/site/screen.py docs/demo-report.png`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

# As wide as the page is laid out for, and as high as its answer.
WIDTH, HEIGHT = 1280, 750
# The page has few colours.
COLOURS = 64
SWITCHES = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")


def take(picture: Path) -> None:
    """Write the picture. Ends with one line where there is no Chromium."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("no Chromium on this machine: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "gpuprobe.cli", "demo", "--out", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        page = (Path(folder) / "demo" / "report.html").as_uri()
        size = (f"--window-size={WIDTH},{HEIGHT}", f"--user-data-dir={folder}/profile")
        shot = Path(folder) / "shot.png"
        subprocess.run([browser, *SWITCHES, *size, f"--screenshot={shot}", page], check=True, stderr=subprocess.DEVNULL)
        with Image.open(shot) as image:
            image.convert("RGB").quantize(COLOURS).save(picture, optimize=True)


if __name__ == "__main__":
    take(Path(sys.argv[1]))
