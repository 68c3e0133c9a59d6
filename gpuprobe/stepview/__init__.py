"""The step page: lanes, breakdown, gaps and the predicted step of a trace on one time axis, in one HTML file."""
