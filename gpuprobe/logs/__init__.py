"""Logs that other programs keep of a GPU, read as the recordings of our own sampler are."""
