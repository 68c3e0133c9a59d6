"""What the rules and the advice take as enough evidence (`diagnosis/`)."""

# --- steps -------------------------------------------------------------------------------------------------------
HELD_STEPS = 2
"""What holds the host in fewer steps than this may be done only once."""
FEW_STEPS = 3
"""A trace of fewer steps may show an unusual moment."""
ODD_STEP_OF = 3
"""With fewer steps than this, no step can be called the odd one."""
ODD_STEPS = 0.25
"""If another cause leads in this share of the traced time, a trace of other steps may name another cause."""
SAVED_ALIKE = 0.1
"""Two savings of a replay are equal if they differ by less than this share of the larger."""
KERNELS_LONGER = 1.5
"""The kernels in the part of a step that a trace lacks are hardly longer than this many times those that it shows."""
KERNELS_AT_ONCE = 2.0
"""With at least this many kernels for each launch call, calls launch several at once, as that of a CUDA graph does."""
SELDOM_BUILT = 20.0
"""A graph that is built again in fewer than one of this many calls is built once for each of a few shapes, not in every
call."""

# --- input and loops ---------------------------------------------------------------------------------------------
PIPELINE_NEVER_PAUSES = 0.9
"""A pipeline whose buffers are never full works all the time but for the moments between two samples."""
MADE_TOO_SLOWLY = 1.1
"""Batches that take this many times as long to make as steps take them are used up; closer, the two may be alike."""
BATCHES_MADE = 3
"""How long making a batch takes is known from this many."""
MADE_WITH_EASE = 2.0
"""Fewer batches tell it too, where the steps take this many times as long to use one as it takes to make it."""
BATCHES_AHEAD = 16
"""A queue usually holds at most so many: eight workers of PyTorch's DataLoader make two each ahead. A trace that takes
more of them waits for those that come slowly."""
PARSED_AT_ONCE = 4.0
"""A parser that is called at most this often in a step parses whole batches; a step may make several batches."""
MUCH_PYTHON = 0.2
"""Python that takes less than this share of the pipeline's time is not worth removing."""
TURNS_NOTED_LOW = 0.75
"""A loop over samples may show as few iterations as this share of the batch: the profiler does not record very short
operations."""
TURNS_NOTED_HIGH = 1.01
"""No iteration of a loop is counted twice."""
LOOP_STARTS = 0.8
"""Where so many of the operations that a step starts are a loop's, what starting them takes is the loop's."""
LEAST_GROWTH = 2
"""The smallest factor by which a larger batch is worth trying."""
TRACES_APART_MIB = 64.0
"""If a job's traces take this much on disk, they take about ten times as much in memory: then each processor reads one
at a time. For smaller ones, starting the processes costs more than it saves."""
PACKED = 10.0
"""JSON of events compresses to about a tenth of its size."""
