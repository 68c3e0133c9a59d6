"""A workload limited by its input: Python tokenizes text, one sentence after the other."""

from __future__ import annotations

import re
from typing import Any

from gpuprobe.workloads.registry import workload
from gpuprobe.workloads.workload import Workload

SAMPLES, WORDS_A_SENTENCE, LENGTH, VOCABULARY = 2_000, 120, 64, 1_000
WORD = re.compile(r"[a-z]+\d*")


@workload(
    order=20,
    on_cpu="input_bound: slow_map, a Python function tokenizes each sentence inside the map, on one thread",
    on_gpu="input_bound: slow_map, the same, and the GPU waits meanwhile",
)
def text() -> Workload:
    """Classify 2,000 sentences of 120 words, which a Python function tokenizes in the map, 32 a step."""
    import numpy as np

    from gpuprobe.models.text import classifier

    random = np.random.default_rng(0)
    y = random.integers(0, 2, SAMPLES)
    # The two classes draw their words from overlapping halves of the vocabulary.
    words = random.integers(0, 3 * VOCABULARY // 4, (SAMPLES, WORDS_A_SENTENCE)) + (y * VOCABULARY // 4)[:, None]
    x = np.array([" ".join(f"Word{number}," for number in row) for row in words])
    return Workload(
        name="text with a tokenizer in Python",
        model=lambda: classifier(VOCABULARY + 1, LENGTH),
        data=(x, y),
        map=_tokenized,
        loss="binary_crossentropy",
        metrics=("accuracy",),
    )


def _tokenized(sentence: Any, label: Any) -> tuple[Any, Any]:
    import numpy as np
    import tensorflow as tf

    def tokenize(raw: bytes) -> Any:
        numbers = [1 + int(word[4:]) % VOCABULARY for word in WORD.findall(raw.decode().lower())]
        return np.array((numbers + [0] * LENGTH)[:LENGTH], np.int32)

    tokens = tf.numpy_function(tokenize, [sentence], tf.int32)
    tokens.set_shape((LENGTH,))
    return tokens, label
