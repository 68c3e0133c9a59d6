"""The numbers that decide, and that no file of the user's replaces: saved records were made with them.

They say how traces and readings are read, which predictions are believed, and which measurements are trusted. The
string below each says what it means and where it comes from; `gpuprobe diagnose --list-thresholds` prints both.
"""

# Of the step-time breakdown (`ledger/`).
GUESSED_STEP_COVERED = 0.5
"""A step that only the device's work tells of speaks for the trace where it is at least so much of it."""
HELD_MS = 2.0
"""A wait longer than this holds no launch on its way: TensorFlow's GPU guide gives 20 to 40 us for one. Python needs
less to get from one operation to the next."""
HELD_OPERATION_MS = 0.25
"""The same, inside an operation that launches nothing at all."""
HELD_TIMES_PACE = 20.0
"""A slow host launches slowly throughout: in traces that others recorded nine pauses of ten are within ten times the
median. Twice that has another reason. An event that launches nothing is no pause between two launches, whatever their
pace: it is measured by the median launch call."""
SILENT_MS = 1.0
"""Between two operations the profiler sees nothing of a thread for tens of microseconds. In a longer hole, where no
training function is known, the host was not dispatching."""
OPERATION_WORKS_US = 25.0
"""TensorFlow's GPU guide gives 20 to 40 us for a launch: a shorter operation on a processor costs more to start than to
do."""
DISPATCH_MS = 2.0
"""A longer pause between two operations of a processor's step is not Python on its way to the next."""
SINGLE_OPERATIONS = 20
"""A compiled step leaves a handful of single operations to Python, such as those on its metrics: from so many on,
Python runs the step."""
COMPILING_MS = 0.5
"""Compiling for less than this in a step is a look into the cache of what is compiled."""
SHORT_ELSEWHERE = 0.1
"""What takes less than a tenth in the other steps is short there."""
LOADING_MS = 100.0
"""Only loading a kernel's code holds the call that starts one on an idle device for so long: the driver's lock does
not, and the queue is empty."""
STEPS_WITH_EXCEPTION = 3
"""Of fewer steps none is the exception."""
LAUNCHES_MANY = 10
"""A frame or call that holds so many launches is not one that launches nothing."""
INTO_A_CALL_MS = 10.0
"""From the start of a call to its first launch (its arguments, starting the executor) a slow host needs milliseconds,
and never longer than this."""
EXCHANGES_TOGETHER = 0.8
"""So many exchanges of two devices have to end together, else they are not the same ones."""
EXCHANGES_TELLING = 3
"""So many exchanges in a row tell by their distances which they are, where no clock does."""
CLOCKS_ERROR = 0.1
"""Where the ends of exchanges agree less well than within so much of the step, hosts are not compared."""
RANKS_TOLD = 0.8
"""With the traces of fewer of a job's processes the one that is waited for may be missing (TraceML abstains too)."""
EXCHANGE_QUEUED_US = 50.0
"""An exchange that begins so soon after the one before it may have waited for that one to end."""
PIPELINE_FULL = 0.9
"""A pipeline that makes batches for so much of the time, and is waited for in each step, sets the pace by itself."""
EXCHANGES_FIT_BETTER = 4.0
"""The ends of a right match are off by what clocks drift, those of a wrong one by how steps differ: so many times as
much, the ends tell better than clocks of hosts, which are set to milliseconds."""
LOOP_PAUSE_MS = 2.0
"""A longer pause than this ends a loop: between two iterations runs only its own bookkeeping."""
SCOPE_WRAPS = 0.8
"""A scope that holds so much of the model's time, and layers with scopes of their own, is no layer itself."""
COPY_US = 100.0
"""As long as copying one megabyte takes at 10 GB/s; what is shorter is the cost of Python's call."""
AT_REST_MS = 1.0
"""Work that was launched so long before the trace ends, on a device at rest, has begun: a launch takes microseconds."""
STEP_OUTLIER = 0.1
"""Steps of a quiet machine differ by less than this: a step so near the others is no outlier."""
STAGE_AT_WORK = 0.2
"""A stage of the input that works for less than this share of the longest wait does not explain it."""
JOINED_HIGH = 0.95
"""The breakdown is sure where so much of the device's work is joined to its launch."""
JOINED_LOW = 0.5
"""With less of the device's work joined to its launch the breakdown is hardly sure."""
UNATTRIBUTED_HIGH = 0.05
"""The breakdown is sure where no more of the step than this is unexplained."""
UNATTRIBUTED_LOW = 0.2
"""With more of the step unexplained the breakdown is hardly sure."""
LOST_HIGH = 0.05
"""The breakdown is sure where no more of the launched kernels than this is missing: the profiler drops events when its
buffers are full, so that idle time may be theirs."""
LOST_LOW = 0.2
"""With more of the launched kernels missing the breakdown is hardly sure."""
CUT_TOGETHER = 2
"""So many events begin at one and the same picosecond, or end on as many lines, because all of them were cut there."""
EXCHANGES_EDGE = 2
"""One trace may show so many exchanges before the other's first or after its last."""
HELD_BY_MOST = 0.8
"""An event in so much of a stretch is what held the host."""
HELD_BY_HALF = 0.5
"""An operation in so much of a stretch held the host, before whatever encloses it."""
FEWEST_SILENCES = 3
"""Fewer holes than this do not come again and again."""
SILENCE_MOST = 0.5
"""Holes of which one takes more than this of their time are no habit."""
TINY_KERNEL_US = 10.0
"""A kernel shorter than this costs more to start than to run (TensorFlow's GPU guide: launch latency 20 to 40 us)."""
SMALL_KERNEL_US = 25.0
"""A kernel shorter than this costs the host about as much to start."""
FEWEST_PAUSES = 10
"""The median of fewer pauses is no pace of the launching thread."""
SLOWEST_PACE_MS = 1.0
"""A slower pace is none of single launches."""
WARMUP_FACTOR = 2.0
"""A first step so many times as long as any other is warm-up. One as long as another later on may be part of a pattern,
such as a checkpoint every so many steps."""
WARMUP_OTHERS = 3
"""It takes so many other steps to tell that the first was warm-up."""
OUTLIER_SIGMAS = 3.0
"""SageMaker Debugger's StepOutlier rule: 3 sigma; here of the median absolute deviation, which outliers do not move."""

# Of the evidence (`evidence/`, `watch/`).
LONG_CALL = 3.0
"""A call that takes so many times the median is not like the others."""
HIDEABLE_SHARE = 0.5
"""Where the wait for the input takes no more of the step than this, the input's work would fit beside the rest of
it."""
CPU_FULL = 0.9
"""SageMaker Debugger's CPU bottleneck: processors above 90 % while the GPU is below 10 %."""
IOWAIT_CORES = 0.5
"""A process that waits for a disk waits on one core, however many there are: half of that is SageMaker's 50 %."""
THREADS_COVERED = 0.5
"""The busiest threads of a whole command speak for its steady phase where that is at least so much of it."""
IDLE_BELOW_PERCENT = 10.0
"""SageMaker Debugger's rules call a GPU below 10 % idle."""
PHASE_EDGE_S = 1.5
"""NVML's utilization covers up to one second: what is shorter than this may be the edge of another phase."""
READING_GAP_S = 3.0
"""So long without a reading, and longer than five usual intervals, nothing is known; slow columns are read once or
twice a second."""
COUNTER_S = 0.25
"""Counters of the kernel tick every 10 ms: no rate is told of a shorter stretch than this."""
CELL_KNOWN = 0.5
"""A stretch of time is known where readings stand for so much of it."""
WATCH_TOO_SHORT_S = 3.0
"""Of a shorter command nothing is said: NVML's utilization alone covers up to one second."""
UNREAD_S = 0.5
"""Less time than this without a reading is the sampler's start, and is not told."""
FULL_PART = 0.5
"""A device that computes less than this share of what another does has no full part in the training."""
AS_SLOW = 0.05
"""Devices whose steps differ by less than this are as slow as each other."""
CORE_PINNED = 0.9
"""A core that is this busy does nothing else."""
ONE_CORE_AT_MOST = 1.3
"""A tree of one busy thread uses a little more than one core."""
NOTHING_PERCENT = 5.0
"""A card that never does more than this computes nothing: a desktop takes some percent."""
CHANGE_BLOCKS = 8
"""The mean over blocks of a length varies by itself; fewer blocks do not tell by how much."""

# Of the rules and the advice (`diagnosis/`).
HELD_STEPS = 2
"""What holds the host in fewer steps than this may be done once."""
FEW_STEPS = 3
"""A trace of fewer steps may have caught a moment that is not like the rest."""
PARSED_AT_ONCE = 4.0
"""Called no more often than this in a step, a parser parses whole batches; several may be made in one step."""
MUCH_PYTHON = 0.2
"""Python that takes less of the pipeline's time than this is no reason to take it out."""
TIMES_TELLING = 4
"""What came fewer times does not tell how far it differs from time to time."""
CALLS_TELLING = 8
"""The mean of fewer calls is no step of a training: as many as a block of times has."""
TIMES_UNKNOWN = 0.3
"""What came too seldom to tell may take so much more or less another time."""
LEFT_APART = 0.15
"""Steps that are measured twice differ by up to a tenth (STEP_OUTLIER) each time."""
SELDOM_BUILT = 20.0
"""A graph that is built again in fewer than one call of so many is built for each of a few shapes, not each time."""
FIRST_SLOWED = 3.0
"""A call that is the first of its iterator or of its graph takes so many times as long to start its operations as one
in a row: between no longer and FIRST_SLOWED_MOST."""
FIRST_SLOWED_MOST = 8.0
"""The most of it: 5.3 ms where calls in a row took 0.73 ms, in a training of a step for each call of `fit`."""
STAYS_LEAST = 0.3
"""So much of what a remedy leaves of a run comes again in any case, however much of it came once for long."""
LONG_EPOCH = 100.0
"""The fewest of "a few hundred" steps that an epoch is advised to have."""
HOOKS_OF_EPOCH = 4.0
"""What comes no more often than this in an epoch comes with its begin and end, by the hooks of a callback or two."""
SELDOM = 5.0
"""What is to come less often comes this many times less: every fifth time, where nothing tells another number."""
KERAS_CALL_S = 0.0003
"""What Keras does around a call of `train_on_batch` or `predict_on_batch`, on a processor of today: 0.2 to 0.5 ms."""
ODD_STEP_OF = 3
"""Of fewer steps none is the odd one."""
ODD_STEPS = 0.25
"""With so much of the traced time against the first cause, a trace of other steps may say otherwise."""
PIPELINE_NEVER_PAUSES = 0.9
"""A pipeline whose buffers are never full is at work for all of the time but the moments between two samples."""
SAVED_ALIKE = 0.1
"""Savings of a replay that differ by less than this share of the larger are as large."""
TURNS_NOTED_LOW = 0.75
"""A loop over samples may show so many fewer turns than the batch has samples: operations too short for the profiler
are not noted."""
TURNS_NOTED_HIGH = 1.01
"""No turn of a loop is counted twice."""
LEAST_GROWTH = 2
"""The least factor by which a larger batch is worth trying."""

# Of the replay and its predictions (`whatif/`, `search/`).
FINEST = 0.03
"""No prediction is finer than steps of the same training differ from minute to minute: a change that promises less than
this share of the step promises nothing."""
EAGER_FRACTION = 0.5
"""Python starts the step's operations where it makes more than so many calls for each of them."""
CORES_LEFT = 0.5
"""However many threads go first, no scheduler lets the others starve: so much of their fair share is left to them."""
CORES_ALIKE = 0.03
"""Processor times of a few seconds differ by so much."""
LAUNCHES_TELLING = 5
"""Fewer launches onto an idle device than this do not tell how long a launch takes to arrive."""
HANDED_OVER_US = 50.0
"""A batch may be handed over so much before the event of its making ends."""
WAITS_TELL = 0.05
"""From this share of the time on (XProf: moderately input-bound), waits tell how fast the input is; below it, nothing
does."""
BATCH_BYTES = 16384
"""A copy of at least so much brings a batch; parameters and constants that are fed every step are smaller."""
REPLAY_ERROR = 0.05
"""A replay that misses the traced step by more than this is not believed."""
LAUNCHES_KNOWN = 0.5
"""Where fewer of the operations than this share have a known launch, they cannot be ordered, and nothing is
predicted."""
UNTRACED_APART = 0.1
"""Steps of a few traced moments differ by so much from those of the whole training; more is something that is not in
the trace."""
MOST_DOUBT = 0.9
"""No range of a prediction is wider: it would reach to a step of no length."""
PROFILER_SLOWS = 0.6
"""The profiler at most slows the host until it runs at so much of its own pace; what is more has another reason."""
LARGE_ENOUGH = 0.99
"""A size is large enough once it gains as much as the largest but for a hundredth: a larger one costs memory."""
LONGEST_CALL_MS = 1000.0
"""A window holds few calls that are longer, and the progress bar stands still between them."""
FLOOR_US = 2.0
"""About so much of a kernel is no work: the shortest in real traces take 2.05 us on Pascal and Turing, and 3 on Volta,
whose clock ticks in 1.02 us."""
CLOSE_US = 20.0
"""An operation that begins this soon after another one ended may have waited for it."""
OVERLAP_US = 1.0
"""Events of one stream may overlap by so much."""
LAUNCH_HELD_US = 30.0
"""A launch that takes this long to reach an idle device, while the host makes more, was held back."""
FEWEST_HELD = 3
"""So many launches the host makes meanwhile, where one is held back."""
BLOCKED_FACTOR = 5.0
"""A launch call so many times as long as most may have been blocked by a full queue."""
BLOCKED_US = 20.0
"""A launch call that was blocked is longer than most by this at least."""
COPY_WAITED_US = 20.0
"""A copy call that returns this soon after its copy has waited for it."""
COPY_STAGED_US = 200.0
"""A copy call from pageable memory may return this long before its copy ends (in traces of 2020 up to 124 us)."""
COPY_STAGED_LEFT = 0.1
"""No more than this share of a copy is left when a call that waits for it returns."""
LATENCY_US = 5.0
"""No copy is all latency: a few microseconds, as the shortest copies of the trace show."""
PASSES_EVEN = 0.0001
"""Passes of a replay that differ by no more than this are the same."""
GAIN_TELLS = 8.0
"""A range whose ends differ by so many times tells no gain: its lower end is told."""

# Of studies (`measure/`, `ranking/`, `report/`).
FEWEST_BLOCKS = 2
"""Of one block of times there is no spread, and no interval."""
LAPS_UNDISTURBED = 3
"""Of fewer laps that nothing disturbed no ratio is told: those that something did disturb count too then."""
DIFFERENCES_APART = 5
"""Of fewer differences between two runs none is said to lie further out than the others."""
SERIES_TELLING = 3
"""Of fewer series of laps nothing is known of how alike their noise is."""
STEPS_OF_A_TURN = 2
"""Of one step the time is that of its luck."""
UNSTABLE_SPREAD = 0.1
"""pyperf: a standard deviation of a tenth of the mean makes a figure untrustworthy."""
UNSTABLE_EXTREME = 0.5
"""pyperf: one value half off the mean makes a figure untrustworthy."""
LOSS_DEVIATIONS = 4.0
"""The band around the median loss curve: so many robust standard deviations of the strategies themselves."""
LOSS_BAND = 0.1
"""The band around the median loss curve is at least so much of the loss: the order of the samples alone moves a young
loss by that much."""
FEWEST_CURVES = 3
"""A median of fewer loss curves says nothing about which of them is off."""
FINE_ENOUGH = 0.1
"""A study that can tell less than this apart has ranked its strategies, though all of them tie: pyperf calls a tenth
the bound of a figure that can be trusted."""
FOREIGN_SHARE = 0.1
"""Chosen here, as for a GPU that others use: other programs on a tenth of the processors disturb a measurement, and are
named."""
SWAPPED_MIB = 1.0
"""Chosen here: a page that is swapped now and then is no pressure."""
HOST_CLOCK_DOWN = 0.15
"""Chosen here, as for a GPU: clocks of the processor that are less down cost at most some percent."""
SIGNAL_APART = 0.1
"""Readings whose means differ by less than a tenth are shown as equal: pyperf's bound of a figure that can be
trusted."""

# Of the doctor (`doctor/`).
MEMORY_LEFT = 0.1
"""With less of the machine's memory left, the kernel begins to swap or to kill."""
DRIVER_MIB = 1024.0
"""The driver itself reserves some hundreds of MiB; more than this with no process to show for it is somebody's."""
