"""How a trace becomes a step-time breakdown (`ledger/`)."""

# --- steps -------------------------------------------------------------------------------------------------------
GUESSED_STEP_COVERED = 0.5
"""A step that was guessed from the device's work alone must cover this share of the trace; else its breakdown has low
confidence."""
WARMUP_FACTOR = 2.0
"""A first step is warm-up if it takes more than this many times as long as any other step. A later step that is as long
shows a pattern instead, such as a checkpoint every few steps."""
WARMUP_OTHERS = 3
"""The first step is called warm-up only where the trace holds more steps than this."""
STEP_OUTLIER = 0.1
"""Steps on a quiet machine differ by less than this share, so a step this near the median is no outlier."""
OUTLIER_SIGMAS = 3.0
"""SageMaker Debugger's StepOutlier rule: 3 sigma. Here sigma comes from the median absolute deviation, which outliers
do not move."""
CUT_TOGETHER = 2
"""A trace was cut if this many events begin at its first picosecond, or events on this many threads or streams end at
its last."""
STEPS_WITH_EXCEPTION = 3
"""With fewer steps than this, no step can be called the exception."""
COMPILING_MS = 0.5
"""Compiling for less than this in a step is only a look into the cache of compiled functions."""
SHORT_ELSEWHERE = 0.1
"""Work is short in the other steps if it takes less than this share of its time there."""

# --- launches ----------------------------------------------------------------------------------------------------
HELD_MS = 2.0
"""A pause longer than this is not a slow launch: TensorFlow's GPU guide gives 20 to 40 us for a launch, and Python
needs less to get from one operation to the next."""
HELD_OPERATION_MS = 0.25
"""The same limit inside an operation that launches nothing."""
HELD_TIMES_PACE = 20.0
"""A slow host launches slowly throughout: in traces that others recorded, nine of ten pauses are within ten times the
median. A pause of twice that has another reason. An event that launches nothing is compared with the median launch
call instead."""
OFF_PACE = 10.0
"""A pause longer than this many times the median is long for the pace: nine of ten are shorter. If most of the time
lies in such pauses and no event fills them, slow launching is not sure."""
FEWEST_PAUSES = 10
"""The pace of launching is the median pause; fewer pauses than this give no pace."""
SLOWEST_PACE_MS = 1.0
"""A median pause longer than this is not the pace of single launches."""
LAUNCHED_BEFORE_US = 50.0
"""Work that was launched this long before the device came to rest is not waited for: a launch takes 20 to 40 us."""
STARTS_SOON_US = 20.0
"""A device starts the next work of its queue sooner than this."""
LAUNCHES_AHEAD = 64
"""No driver keeps back more launches than this to hand them over together."""
LAUNCHES_MANY = 10
"""A frame or call with this many launches inside does not count as launching nothing."""
INTO_A_CALL_MS = 10.0
"""A slow host needs milliseconds from the start of a call to its first launch (arguments, starting the executor), but
never longer than this."""
LOADING_MS = 100.0
"""A launch call on an idle device that takes this long loads the kernel's code: the driver's lock does not hold it for
so long, and the queue is empty."""
HELD_BY_MOST = 0.8
"""An event that fills this share of a stretch without launches is what held the host."""
HELD_BY_HALF = 0.5
"""An operation that fills this share of the stretch is named before the events around it."""
SILENT_MS = 1.0
"""Between two operations of a thread the profiler records nothing for tens of microseconds. In a longer gap, and where
no training function is known, the host was not dispatching."""
FEWEST_SILENCES = 3
"""Gaps come again and again where there are at least this many."""
SILENCE_MOST = 0.5
"""Gaps are no habit if one of them takes more than this share of their total time."""

# --- operations and kernels --------------------------------------------------------------------------------------
OPERATION_WORKS_US = 25.0
"""A shorter operation on a processor costs more to start than to run: TensorFlow's GPU guide gives 20 to 40 us for a
launch."""
DISPATCH_MS = 2.0
"""A longer pause between two operations on a processor is not dispatching: neither Python's, nor that of a function of
which no thread starts any."""
SINGLE_OPERATIONS = 20
"""Python runs the step itself if it starts at least this many single operations. A compiled step leaves only a few to
Python, such as those of its metrics."""
TINY_KERNEL_US = 10.0
"""A kernel shorter than this costs more to start than to run (TensorFlow's GPU guide: launch latency 20 to 40 us)."""
SMALL_KERNEL_US = 25.0
"""A kernel shorter than this costs the host about as much to start."""
LOOP_PAUSE_MS = 2.0
"""A pause longer than this ends a loop: between two iterations only the loop's own bookkeeping runs."""
SCOPE_WRAPS = 0.8
"""A scope that takes this share of the model's time, and contains layers with scopes of their own, is no layer."""
COPY_US = 100.0
"""Copying one megabyte at 10 GB/s takes this long. A shorter call of Python that makes a tensor is call overhead."""

# --- input -------------------------------------------------------------------------------------------------------
PIPELINE_FULL = 0.9
"""A pipeline that makes batches for this share of the time, and that every step waits for, sets the pace alone."""
STAGE_AT_WORK = 0.2
"""A stage of the input pipeline does not explain the wait if it works for less than this share of the longest wait."""

# --- how far a breakdown is trusted ------------------------------------------------------------------------------
JOINED_HIGH = 0.95
"""The breakdown may have high confidence if the launch is known for this share of the device's work."""
JOINED_LOW = 0.5
"""The breakdown has low confidence if the launch is known for less than this share of the device's work."""
UNATTRIBUTED_HIGH = 0.05
"""The breakdown may have high confidence if at most this share of the step is unexplained."""
UNATTRIBUTED_LOW = 0.2
"""The breakdown has low confidence if more than this share of the step is unexplained."""
LOST_HIGH = 0.05
"""The breakdown may have high confidence if at most this share of the launched kernels is missing. The profiler drops
events when its buffers are full, and dropped kernels look like idle time."""
LOST_LOW = 0.2
"""The breakdown has low confidence if more than this share of the launched kernels is missing."""
AT_REST_MS = 1.0
"""Work launched this long before the trace ends, on an idle device, has begun: a launch takes microseconds."""

# --- exchanges between devices -----------------------------------------------------------------------------------
EXCHANGES_TOGETHER = 0.8
"""The exchanges of two devices are the same ones if at least this share of them ends together."""
EXCHANGES_TELLING = 3
"""Without a common clock, exchanges are matched by the distances between them: at least this many in a row."""
EXCHANGES_EDGE = 2
"""One trace may show up to this many exchanges before the first, or after the last, of another trace."""
EXCHANGES_FIT_BETTER = 4.0
"""In the right match, ends differ by clock drift; in a wrong one, by how much steps differ. If the next best match is
this many times as far off, the ends are believed before the hosts' clocks, which are set only to milliseconds."""
EXCHANGE_QUEUED_US = 50.0
"""An exchange that begins this soon after the one before it may have waited for that one to end."""
PACK_BYTES = 0.01
"""An exchange that sends less than this share of a step's largest is no pack of gradients: a loss or a metric takes a
few bytes, and the smallest pack, the first of PyTorch's, 4 % of the others (1 of 25 MiB)."""
PACK_TIME = 0.3
"""The same by time, where bytes are not known. Latency makes the loss of a ResNet20 take 14 to 24 % of the time of its
gradients (1 MiB) on two busy cores, and the smaller of two packs took 75 %."""
CLOCKS_ERROR = 0.1
"""Hosts are not compared if the ends of their exchanges agree less well than within this share of the step."""
ALWAYS_THE_SAME = 0.8
"""If one device is waited for in at least this share of the steps in which any is, it is always the same one."""
LATE_BEYOND_CHANCE = (31.82, 6.96, 4.54, 3.75, 3.36, 3.14, 3.00, 2.90, 2.82, 2.76)
"""A device is late beyond chance if its mean lateness over the steps is at least so many standard errors: Student's t
for 1, 2, ... degrees of freedom, one-sided, 99 %; the last also stands for more."""
STEPS_TELLING_WHO = 2
"""In fewer steps than this, nothing shows whether it is always the same device that is waited for."""
RANKS_TOLD = 0.8
"""If fewer than this share of a job's processes were traced, the one that the others wait for may be missing (TraceML
names nobody then either)."""
