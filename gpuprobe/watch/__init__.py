"""Runs any command under the sampler, passes signals and its exit code through, and diagnoses it by telemetry."""
