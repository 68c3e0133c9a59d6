"""What each backend of Keras 3 offers for measuring a training: devices, settings, traces, memory."""
