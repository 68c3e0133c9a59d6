"""The networks that gpuprobe trains, in plain Keras; installed as `gpuprobe.models`."""
