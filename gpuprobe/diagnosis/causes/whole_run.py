"""Causes outside the steps: in what comes before, between and beside them."""

from __future__ import annotations

from typing import Literal

from gpuprobe.diagnosis.causes.cause import Cause, RunShare

WholeRunId = Literal[
    "epoch_start",
    "validation",
    "checkpointing",
    "startup",
    "compiled_again",
    "many_small_fits",
    "between_trainings",
]
WHOLE_RUN: tuple[Cause[WholeRunId], ...] = (
    Cause(
        id="epoch_start",
        words="the time between the epochs is long",
        signature="The iterator starts again at each epoch, fills its shuffle buffer, and the first step waits for it.",
        fix="Let the iterator start once: shuffle indices or file names in place of samples, or repeat() with "
        "steps_per_epoch.",
        mistaken_for="compute_bound and input_bound, by a trace that holds steps of one epoch",
        devices=("gpu", "cpu"),
        thresholds=("epoch_start_share", "short_epoch"),
        signals=("run_share.epoch_start", "run_share.between_epochs", "run_epochs", "run_calls_per_epoch"),
        symptoms=("host_between_steps",),
    ),
    Cause(
        id="validation",
        words="validating takes the time",
        signature="Validation takes much of each epoch.",
        fix="Validate less often (validation_freq=5), on less (validation_steps), or in larger batches "
        "(validation_batch_size).",
        mistaken_for="a slow step: the time of an epoch holds both",
        devices=("gpu", "cpu"),
        of_run=RunShare(
            ("validation", "evaluate"),
            "validation_share",
            "{share} of the training passes in validation, {each} each time.",
        ),
        signals=("run_share.validation", "run_s.validation", "run_share.evaluate", "run_s.evaluate"),
    ),
    Cause(
        id="checkpointing",
        words="saving the model takes the time",
        signature="The training waits while the weights are written.",
        fix='Save less often (save_freq="epoch"), the weights alone, or onto a faster disk.',
        mistaken_for="host_between_steps and eager_or_retracing: saving reads each weight by itself",
        devices=("gpu", "cpu"),
        of_run=RunShare(
            ("checkpoint",),
            "checkpoint_share",
            "{share} of the training passes while `{name}` saves the model.",
        ),
        signals=("run_share.checkpoint", "run_s.checkpoint", "run_name.checkpoint"),
        family="host",
        symptoms=("host_between_steps",),
    ),
    Cause(
        id="startup",
        words="most of the run passes before its first step",
        signature="Imports, loading the data and building the model take longer than the training.",
        fix="Keep what is computed at the start: save prepared data once, and load it; import less.",
        mistaken_for="a short trial: start-up comes once, and weighs little in a long training",
        devices=("gpu", "cpu"),
        thresholds=("startup_share", "startup_s"),
        signals=("run_share.startup", "run_s.imports", "run_s.build"),
    ),
    Cause(
        id="compiled_again",
        words="models or functions that do the same are traced and compiled again",
        signature="The first call comes again and again: each new model or tf.function is traced and compiled anew.",
        fix="Build and compile the model once, and call fit again on the same one, with data of one shape.",
        mistaken_for="recompiling, where one function meets new shapes; a slow first epoch",
        devices=("gpu", "cpu"),
        of_run=RunShare(
            ("first_call_again",),
            "compiled_again_share",
            "{share} of the run passes in first calls of further models or functions: {times} of them were traced and "
            "compiled after the first.",
            least_times="compiled_again",
        ),
        signals=("run_share.first_call_again", "run_s.first_call_again", "run_times.first_call_again"),
        symptoms=("host_between_steps", "epoch_start"),
    ),
    Cause(
        id="many_small_fits",
        words="`fit` or `predict` is called in a loop for a few steps each",
        signature="Most of the time passes in what each call of fit or predict costs on top of its steps.",
        fix="Call train_on_batch and predict_on_batch (or the model itself) in the loop, or fit on many samples at a "
        "time.",
        mistaken_for="batch_too_small and host_between_steps, by a trace of the few steps",
        devices=("gpu", "cpu"),
        thresholds=("many_calls", "many_calls_share", "short_epoch"),
        signals=("run_trainings", "run_calls_per_training", "run_share.fit", "run_share.predict", "run_times.predict"),
        symptoms=("host_between_steps", "epoch_start", "eager_or_retracing", "batch_too_small"),
    ),
    Cause(
        id="between_trainings",
        words="the script does other work between its trainings",
        signature="Much of the run passes outside Keras's calls, in the script's own code between two calls of fit.",
        fix="Prepare the next part of the data while the model trains on this one, or once for all.",
        mistaken_for="a slow step: what is timed from one epoch to the next holds both; many_small_fits, where the "
        "calls themselves cost it",
        devices=("gpu", "cpu"),
        of_run=RunShare(
            ("between_trainings",),
            "between_trainings_share",
            "{share} of the run passes in the script's own code between its trainings, {each} each time: what it does "
            "there is not known, such as reading the next part of the data.",
            least_times="between_trainings",
        ),
        signals=("run_share.between_trainings", "run_s.between_trainings", "run_trainings"),
    ),
)
