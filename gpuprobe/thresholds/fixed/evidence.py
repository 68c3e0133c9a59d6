"""How breakdowns, clocks and readings become signals (`evidence/`, `watch/`)."""

# --- steps and devices -------------------------------------------------------------------------------------------
LONG_CALL = 3.0
"""A call that takes this many times the median is counted as a long call."""
CALLS_TELLING = 8
"""The mean of fewer calls than this says nothing about a step of the training: as many as one block of times has."""
TIMES_TELLING = 4
"""Something that came fewer times than this does not show how much its length varies."""
HIDEABLE_SHARE = 0.5
"""If the wait for the input takes at most this share of the step, making the batches fits beside the rest of it."""
SHUFFLE_FILLS = 2.0
"""A shuffle that takes at least so many times as many samples as it hands on is filling its buffer."""
FULL_PART = 0.5
"""A device that computes less than this share of what the busiest does has no full part in the training."""
MOST_OF_A_WAIT = 0.5
"""What a late device has more of than the others makes it late if it is at least this share of their wait for it."""
AS_SLOW = 0.05
"""Devices whose steps differ by less than this share are equally slow."""

# --- readings of the host ----------------------------------------------------------------------------------------
CPU_FULL = 0.9
"""SageMaker Debugger's CPU bottleneck: processors above 90 % while the GPU is below 10 %."""
IOWAIT_CORES = 0.5
"""A process that waits for a disk waits on one core, however many there are: half a core is SageMaker's 50 %."""
THREADS_COVERED = 0.5
"""The busiest thread was measured over the whole command. It says something about the steady phase if that phase is at
least this share of the command."""
CORE_PINNED = 0.9
"""A core this busy has no time for anything else."""
ONE_CORE_AT_MOST = 1.3
"""A process tree with one busy thread uses up to this many cores."""
SPINS_FOR_LONG = 100_000
"""Threads that spin for fewer rounds than this sleep after a millisecond or less: GNU's OpenMP takes about 3 ms for its
usual 300,000 (libgomp, env.c)."""
COUNTER_S = 0.25
"""The kernel's counters tick every 10 ms: a rate over a shorter time than this is not believed."""

# --- readings of a GPU -------------------------------------------------------------------------------------------
IDLE_BELOW_PERCENT = 10.0
"""SageMaker Debugger's rules call a GPU below 10 % idle."""
NOTHING_PERCENT = 5.0
"""A card that is never busier than this computes nothing: a desktop alone takes some percent."""
PHASE_EDGE_S = 1.5
"""NVML's utilization covers up to one second: a shorter phase than this may be only the edge of another."""
READING_GAP_S = 3.0
"""After this long without a reading, and more than five usual intervals, the value is unknown. Slow columns are read
once or twice a second."""
CELL_KNOWN = 0.5
"""The value in a stretch of time is known if readings cover at least this share of it."""
CHANGE_BLOCKS = 8
"""How much the mean over blocks of one length varies is known only from at least this many blocks."""
WATCH_TOO_SHORT_S = 3.0
"""Nothing is said about a shorter command than this: NVML's utilization alone covers up to one second."""
UNREAD_S = 0.5
"""Less time than this without a reading is the sampler's start, and is not mentioned."""
SAMPLE_CHEAP_US = 100.0
"""A map that takes no longer for a sample does little work in it: tf.data calls a function of a few operations in 20 to
60 us on a current processor."""
