"""The files of a training: its checkpoint, its curves and its best model, each replaced atomically."""

from __future__ import annotations

import csv
import io
import zipfile
from typing import TYPE_CHECKING, Any

import msgspec

from gpuprobe.errors import InputError, in_short
from gpuprobe.records import Record

if TYPE_CHECKING:
    from pathlib import Path

    import keras

CHECKPOINT_FILE = "checkpoint.npz"
CURVES_FILE = "curves.csv"
BEST_FILE = "best.keras"


class EpochRow(Record, frozen=True, kw_only=True):
    """One epoch, from 1: losses and accuracies (0 to 1) on training and test set, and the seconds it trained for.

    A loss is None where it is no finite number.
    """

    epoch: int
    train_loss: float | None
    train_accuracy: float
    test_loss: float | None
    test_accuracy: float
    learning_rate: float
    epoch_s: float


def _variables(model: keras.Model) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]


def restore(model: keras.Model, folder: Path) -> list[EpochRow]:
    """Load the checkpoint into the model, and return the rows of its epochs: none where there is no checkpoint.

    Raises InputError where the checkpoint cannot be read.
    """
    import numpy as np

    try:
        with np.load(folder / CHECKPOINT_FILE) as saved:
            for number, variable in enumerate(_variables(model)):
                variable.assign(saved[f"variable{number}"])
            return msgspec.json.decode(saved["rows"].item(), type=list[EpochRow])
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, msgspec.DecodeError) as error:
        raise InputError(
            f"{folder / CHECKPOINT_FILE}: cannot be read back ({type(error).__name__}); delete it to start the "
            "training from its first epoch"
        ) from error


def save_checkpoint(model: keras.Model, rows: list[EpochRow], folder: Path) -> None:
    """Write the weights, the optimizer's state and all rows as one file, replaced atomically; then the curves."""
    import numpy as np

    values = {f"variable{place}": np.asarray(variable) for place, variable in enumerate(_variables(model))}
    partial = folder / f"partial-{CHECKPOINT_FILE}"
    np.savez(partial, rows=msgspec.json.encode(rows).decode(), **values)  # type: ignore[arg-type]
    partial.replace(folder / CHECKPOINT_FILE)
    save_curves(rows, folder)


def save_curves(rows: list[EpochRow], folder: Path) -> None:
    """Write the rows as a table, replaced atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, EpochRow.__struct_fields__)
    writer.writeheader()
    writer.writerows(msgspec.structs.asdict(row) for row in rows)
    partial = folder / f"partial-{CURVES_FILE}"
    partial.write_text(text.getvalue())
    partial.replace(folder / CURVES_FILE)


def save_best(model: keras.Model, folder: Path) -> None:
    """Write the model, its weights included, replaced atomically."""
    partial = folder / f"partial-{BEST_FILE}"
    model.save(partial)
    partial.replace(folder / BEST_FILE)


def read_curves(folder: Path) -> list[EpochRow]:
    """Read the rows of a training's curves, none before its first epoch is done. Raises InputError for other files."""
    try:
        with (folder / CURVES_FILE).open(newline="", encoding="utf-8") as file:
            rows = [{name: cell or None for name, cell in row.items()} for row in csv.DictReader(file)]
        return [msgspec.convert(row, EpochRow, strict=False) for row in rows]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{folder / CURVES_FILE}: cannot be read ({error.strerror})") from error
    except (csv.Error, ValueError) as error:
        raise InputError(f"{folder / CURVES_FILE}: not the curves of a training ({in_short(error)})") from error
