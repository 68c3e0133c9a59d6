"""A recording of telemetry into evidence, on a grid of whole seconds."""
