"""Starts or finishes a study, shows it, and writes its report; what `gpuprobe run` does after its options are read."""

from __future__ import annotations

import datetime
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from gpuprobe import measure, ranking, report
from gpuprobe.cli._live import LiveView
