"""Raw evidence (step-time breakdown, run, card, readings) as named signals, each with its unit and source."""
