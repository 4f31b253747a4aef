"""Single requests: traces read, replayed batch by batch, and the open loop whose percentiles the replay confirms."""
