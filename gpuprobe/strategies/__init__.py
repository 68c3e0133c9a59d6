"""How a workload is fed and compiled: one decorated function a strategy, each changing one thing of another."""
