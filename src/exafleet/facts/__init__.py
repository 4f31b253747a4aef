"""Facts: every number once, with its source, read as of a date; and the scenario that asks the question."""
