"""A recording of telemetry into evidence: its phases, and figures of the steady one."""
