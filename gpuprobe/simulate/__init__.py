"""Sessions that never ran on hardware, with a truth that is known; everything made here says SIMULATED."""
