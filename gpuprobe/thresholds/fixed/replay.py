"""What a replay assumes, and which predictions are believed (`whatif/`, `search/`)."""

# --- predictions -------------------------------------------------------------------------------------------------
FINEST = 0.03
"""Steps of one training differ by this share from minute to minute. A predicted gain below it promises nothing."""
REPLAY_ERROR = 0.05
"""A replay that misses the traced step by more than this share is not believed."""
LAUNCHES_KNOWN = 0.5
"""Nothing is predicted if the launch is known for less than this share of the operations: they cannot be ordered."""
UNTRACED_APART = 0.1
"""The steps of a few traced moments differ by this share from those of the whole training. A larger difference is time
that the trace does not show."""
MOST_DOUBT = 0.9
"""The range of a prediction is never wider than this: it would include a step of no length."""
GAIN_TELLS = 8.0
"""If the ends of a range differ by more than this factor, the gain is told as "at least" its lower end."""
PASSES_EVEN = 0.0001
"""A replay repeats the trace until two passes differ by no more than this share."""
PROFILER_SLOWS = 0.6
"""The profiler slows the host to this share of its speed at most. A larger difference has another reason."""
LARGE_ENOUGH = 0.99
"""A size is large enough if it gains this share of what the largest gains: a larger one only costs memory."""
LONGEST_CALL_MS = 1000.0
"""Calls are not made longer than this: a window would hold few of them, and the progress bar would stand still."""

# --- the host and its cores --------------------------------------------------------------------------------------
EAGER_FRACTION = 0.5
"""Python starts the step's operations one by one if it makes more than this many calls for each of them."""
CORES_LEFT = 0.5
"""However many threads are preferred, the scheduler leaves the others this share of their fair part."""
CORES_ALIKE = 0.03
"""Processor times measured over a few seconds differ by this share."""
WAITS_TELL = 0.05
"""Waits show how fast the input is if they take at least this share of the time (XProf calls that moderately
input-bound)."""
HANDED_OVER_US = 50.0
"""A batch may be handed over this long before the event of its making ends."""

# --- launches and kernels ----------------------------------------------------------------------------------------
LAUNCHES_TELLING = 5
"""How long a launch takes to arrive is known only from at least this many launches onto an idle device."""
FLOOR_US = 2.0
"""About this much of a kernel's time is no work: the shortest in real traces take 2.05 us on Pascal and Turing, and
3 us on Volta, whose clock ticks every 1.02 us."""
CLOSE_US = 20.0
"""An operation that begins this soon after another one ended may have waited for it."""
OVERLAP_US = 1.0
"""Events of one stream may overlap by this much."""
LAUNCH_HELD_US = 30.0
"""A launch was held back if it takes this long to reach an idle device while the host makes more launches."""
FEWEST_HELD = 3
"""A launch was held back only if the host makes at least this many more launches meanwhile."""
BLOCKED_FACTOR = 5.0
"""A launch call this many times as long as the usual one may have been blocked by a full queue."""
BLOCKED_US = 20.0
"""A launch call that was blocked is longer than the usual one by at least this much."""

# --- copies ------------------------------------------------------------------------------------------------------
BATCH_BYTES = 16384
"""A copy of at least this size brings a batch; parameters and constants that are fed in each step are smaller."""
COPY_WAITED_US = 20.0
"""A copy call that returns this soon after its copy ended has waited for it."""
COPY_STAGED_US = 200.0
"""A copy call from pageable memory may return this long before its copy ends (in traces of 2020 up to 124 us)."""
COPY_STAGED_LEFT = 0.1
"""A call that waits for its copy returns with at most this share of the copy left."""
LATENCY_US = 5.0
"""The latency of a copy is at most this: a few microseconds, as the shortest copies of real traces show."""

# --- what a remedy saves of a whole run --------------------------------------------------------------------------
TIMES_UNKNOWN = 0.3
"""A part that came too few times to show its spread may take this share more or less when it comes again."""
LEFT_APART = 0.15
"""The remaining steps may take this much more or less when they are measured again; each measurement may be off by up
to a tenth (see step_outlier)."""
STAYS_LEAST = 0.3
"""Of the time that a remedy leaves, at least this share is taken to come again."""
FIRST_SLOWED = 3.0
"""The first call of an iterator or of a graph takes longer than a later call to start its operations: this many times
as long is expected, within a range from 1 to first_slowed_most."""
FIRST_SLOWED_MOST = 8.0
"""The most by which such a first call is slower: 5.3 ms where later calls took 0.73 ms, in a training that called `fit`
for each step."""
AFTER_PAUSE = 2.0
"""On a processor a step that follows a pause of the training starts its operations up to this many times as slowly as
one that follows another at once: 2.0 in a loop that picked each batch in Python, for most of the time."""
PAUSED = 0.5
"""A step follows a pause if what lies between the steps takes at least this share of all work."""
LONG_EPOCH = 100.0
"""The fewest of the "few hundred" steps that an epoch is advised to have."""
HOOKS_OF_EPOCH = 4.0
"""A callback that runs at most this often in an epoch runs at its begin and end, by one or two hooks."""
SELDOM = 5.0
"""Work that should be done less often is assumed to be done this many times less often where nothing tells more."""
KERAS_CALL_S = 0.0003
"""What Keras itself costs in a call of `train_on_batch` or `predict_on_batch` on a current processor: 0.2 to 0.5 ms."""
