"""Prefill and decode on pools of their own: the way to the first token, the loop around both, and the best pairs."""
