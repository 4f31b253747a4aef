"""Step: layouts of a job over chips, and the seconds and bytes of one step of it."""
