"""gpuprobe finds out why a GPU is idle while TensorFlow and Keras train, and which change fixes it."""

__version__ = "0.1.0"
