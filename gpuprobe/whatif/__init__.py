"""What a change would gain: a traced step is replayed from its durations and dependencies, unchanged and changed."""
