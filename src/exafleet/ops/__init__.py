"""Ops: seconds of one operator or one collective on one chip and fabric, at its size."""
