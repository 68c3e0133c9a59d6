"""Runs any command under the sampler, passes its signals and exit code through, and says what telemetry alone can."""
