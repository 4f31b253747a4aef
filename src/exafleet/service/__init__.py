"""Many requests over engine steps: closed and open loops, prefill and decode apart, traces, and the best deployment."""
