"""The backends of Keras 3 behind one interface for measuring: devices, settings, traces, memory."""
