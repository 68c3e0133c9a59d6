"""A recording of telemetry into evidence."""
