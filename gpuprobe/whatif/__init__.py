"""What a change would give: a traced step replayed from its durations and dependencies, as it is and changed."""
