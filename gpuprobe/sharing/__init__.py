"""Makes a copy of a study to publish: texts that identify its owner are replaced, and a search proves it."""
