"""A page to look into the step of a trace: lanes, breakdown, gaps and the predicted step on one axis, in one file."""
