"""A copy of a study fit to publish: all that identifies its owner is replaced, and a search proves it."""
