"""The run itself as signals: its card, its settings as read back from Keras, the profiler's cost, and its MFU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.evidence import card
from gpuprobe.ledger.scopes import for_cudnn
from gpuprobe.records import Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpuprobe.records import CoreUse, Evidence, Given, GpuInfo, GraphLoop, Settings

READ_BACK = "Keras, read back"
OF_GRAPH, NO_GRAPH = "the graph of the step", "the framework does not show the graph of the step"
# How the name of the signal of a callback's setting begins; the callback's class and the setting follow.
SETTING = "setting"
NO_SPINNING = "only PyTorch's threads on a processor are asked"


def setting(
    settings: Settings | None,
    gpu: GpuInfo | None,
    *,
    slowdown: float | None = None,
    flop_per_s: float | None = None,
    sm_clock_mhz: float | None = None,
    device_peak_mib: float | None = None,
) -> tuple[Signal, ...]:
    """Return the signals of a run's card and settings, its model-FLOPs utilization, the profiler's slowdown, and more.

    A missing one has the reason. Without `settings`, only the card and the slowdown. `gpu` is the card that the run
    used, `slowdown` the ratio of a traced step to a timed one, `flop_per_s` the arithmetic of the model per second,
    `sm_clock_mhz` the measured clock, and `device_peak_mib` the peak of the backend's allocator, which is shown as a
    share of the card's memory.
    """
    known_card = (
        card.card_of(gpu.name, compute_capability=gpu.compute_capability, memory_mib=gpu.memory_mib) if gpu else None
    )
    signals = (
        card.card_signals(gpu.name, compute_capability=gpu.compute_capability, memory_mib=gpu.memory_mib) if gpu else ()
    )
    profiler = _profiler_slowdown(slowdown)
    if settings is None:
        return (*signals, profiler)
    return (
        *signals,
        profiler,
        card.mfu(settings, known_card, flop_per_s, sm_clock_mhz),
        Signal(name="compute_dtype", unit="", source=READ_BACK, value=settings.compute_dtype),
        Signal(name="batch_size", unit="samples", source=READ_BACK, value=float(settings.batch_size)),
        Signal(name="run_eagerly", unit="", source=READ_BACK, value=settings.run_eagerly),
        *(
            [Signal(name="functions_eagerly", unit="", source=READ_BACK, value=True)]
            if settings.functions_eagerly
            else []
        ),
        Signal(name="jit_compile", unit="", source=READ_BACK, value=settings.jit_compile),
        Signal(name="steps_per_execution", unit="", source=READ_BACK, value=float(settings.steps_per_execution)),
        Signal(name="feed_dtype", unit="", source=READ_BACK, value=settings.feed_dtype),
        Signal(name="device_is_gpu", unit="", source=READ_BACK, value="GPU" in settings.device.upper()),
        _allocated(device_peak_mib, gpu),
    )


def core_signals(settings: Settings | None, use: CoreUse | None) -> tuple[Signal, ...]:
    """Return how the thread that trains came by a core, and whether threads spin."""
    source = "kernel, the thread that trains"
    figures = (
        []
        if use is None
        else [
            ("core_waited_fraction", "of the training", use.waited_s / use.seconds),
            ("core_sleeps_per_s", "a second", use.sleeps / use.seconds),
            ("other_threads_cores", "cores", use.others_cpu_s / use.seconds),
        ]
    )
    told = [Signal(name=name, unit=unit, source=source, value=value) for name, unit, value in figures]
    spin = settings.threads_spin if settings is not None else None
    missing = None if spin is not None else NO_SPINNING
    return (*told, Signal(name="threads_spin", unit="", source=READ_BACK, value=spin, missing=missing))


def given_signals(given: Given | None) -> tuple[Signal, ...]:
    """Return as signals what a training was given (data, epochs, callbacks and their settings), as far as known."""
    if given is None:
        return ()
    values: dict[str, float | str | bool | None] = {
        "data_kind": given.data_kind or None,
        "data_workers": given.data_workers,
        "epochs": given.epochs,
        "verbose": given.verbose,
        "own_callbacks": None if given.callbacks is None else ", ".join(given.callbacks),
        **{f"{SETTING}.{one.callback}.{one.name}": one.value for one in given.callback_settings},
        "validation_freq": given.validation_freq,
        "validation_steps": given.validation_steps,
        "samples_vary": given.samples_vary,
        "own_loop": given.own_loop or None,
    }
    return tuple(
        Signal(name=name, unit="", source="fit", value=value) for name, value in values.items() if value is not None
    )


def settings_given(known: Evidence) -> tuple[Signal, ...]:
    """Return those signals of what a training was given, its pipeline too, that rules of its whole run look at."""
    named = known.only("data_kind", "shuffled", "validation_freq", "validation_steps")
    return (*named, *(signal for signal in known.signals if signal.name.startswith(f"{SETTING}.")))


def loop_signals(loops: Sequence[GraphLoop] | None) -> tuple[Signal, ...]:
    """Return the loop of the step's graph in which most operations are started, other than an LSTM's or GRU's.

    Nothing if the graph has none; `graph_loop` with the reason if the graph was not read.
    """
    if loops is None:
        return (Signal(name="graph_loop", unit="", source=OF_GRAPH, missing=NO_GRAPH),)
    own = [loop for loop in loops if not for_cudnn(tuple(loop.path.split("/")))]
    if not own:
        return ()
    loop = max(own, key=lambda loop: (loop.started_fraction or 0.0, loop.serial))
    unknown = "the graph does not fix the number of the loop's iterations"
    signals: list[tuple[str, str, float | str | bool | None]] = [
        ("graph_loop", "", loop.path),
        ("graph_loop_turns", "in a step", loop.turns),
        ("graph_loop_started", "of the operations that a step starts", loop.started_fraction),
        ("graph_loop_serial", "", loop.serial),
        ("graph_loop_linear", "", loop.linear),
    ]
    return tuple(
        Signal(
            name=name,
            unit=unit,
            source=OF_GRAPH,
            value=value,
            missing=unknown if value is None else None,
        )
        for name, unit, value in signals
    )


def _profiler_slowdown(slowdown: float | None) -> Signal:
    return Signal(
        name="profiler_slowdown",
        unit="times",
        source="median traced step over median timed step",
        value=slowdown,
        missing=None if slowdown else "there are not both timed and traced steps",
    )


def _allocated(device_peak_mib: float | None, gpu: GpuInfo | None) -> Signal:
    total_mib = gpu.memory_mib if gpu else None
    fraction = device_peak_mib / total_mib if device_peak_mib is not None and total_mib else None
    return Signal(
        name="allocator_peak_fraction",
        unit="of the card's memory",
        source="the backend's allocator",
        value=fraction,
        missing=None if fraction is not None else "the backend's peak or the card's memory is not known",
    )


def clock_mhz(clock: Signal | None) -> float | None:
    """Return the mean clock of the multiprocessors in MHz from its signal; None where it was not read."""
    return clock.value if clock is not None and isinstance(clock.value, float) else None
