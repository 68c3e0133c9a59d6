"""Reads logs of GPUs that other programs wrote, into the same form as recordings of gpuprobe's sampler."""
