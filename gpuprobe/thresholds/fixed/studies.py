"""Which measurements of a study are trusted (`measure/`, `ranking/`, `report/`), and what the doctor reports."""

# --- times -------------------------------------------------------------------------------------------------------
FEWEST_BLOCKS = 2
"""One block of times has no spread, and so no interval."""
STEPS_OF_A_TURN = 2
"""The time of a single step is a matter of luck: a turn holds at least this many."""
LAPS_UNDISTURBED = 3
"""With fewer undisturbed laps than this, no ratio is computed from them alone: disturbed laps count too."""
DIFFERENCES_APART = 5
"""With fewer differences between two runs than this, none of them is called an outlier."""
SERIES_TELLING = 3
"""Whether series of laps have similar noise is known only from at least this many series."""
UNSTABLE_SPREAD = 0.1
"""pyperf: a standard deviation of a tenth of the mean makes a figure untrustworthy."""
UNSTABLE_EXTREME = 0.5
"""pyperf: one value half off the mean makes a figure untrustworthy."""
TENFOLD = 9.0
"""A study that could not even tell a rate ten times as high apart told nothing: how much more it would take is no
figure to print."""
FINE_ENOUGH = 0.1
"""A study whose resolution is finer than this has ranked its strategies even if all of them tie: for pyperf, a figure
that is off by less than a tenth can be trusted."""
SIGNAL_APART = 0.1
"""Readings whose means differ by less than a tenth are shown as equal: pyperf's limit for a figure that can be
trusted."""

# --- the same work -----------------------------------------------------------------------------------------------
LOSS_DEVIATIONS = 4.0
"""The half-width of the band around the median loss curve, in robust standard deviations of the strategies."""
LOSS_BAND = 0.1
"""The band around the median loss curve is at least this share of the loss: the order of the samples alone moves the
loss of the first steps by as much."""
FEWEST_CURVES = 3
"""The median of fewer loss curves does not show which of them is off."""

# --- other programs ----------------------------------------------------------------------------------------------
FOREIGN_SHARE = 0.1
"""Other programs on a tenth of the processors disturb a measurement, and are named (as for a shared GPU)."""
SWAPPED_MIB = 1.0
"""A page that is swapped now and then is no memory pressure."""
HOST_CLOCK_DOWN = 0.15
"""Processor clocks that are down by less than this cost some percent at most (as for a GPU)."""
GROWN_MS = 0.005
"""A part of a step that grew or shrank by less is shown as 0.00 ms, and so left out."""

# --- the doctor --------------------------------------------------------------------------------------------------
MEMORY_LEFT = 0.1
"""With less than this share of the machine's memory left, the kernel begins to swap or to end processes."""
DRIVER_MIB = 1024.0
"""The driver itself reserves some hundreds of MiB. More than this, without a process to show for it, belongs to
somebody."""
