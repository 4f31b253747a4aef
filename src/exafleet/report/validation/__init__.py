"""Predictions beside published measurements: errors by group, the worst rows, and what a wrong choice would cost.

score     errors of rows as a few figures; groups, worst rows, rows without a prediction, choice among layouts
training  tokens/s of training runs
scaling   throughput kept as a run grows
memory    peak memory, and what fits
told      the tables all three share, and the line that makes them repeatable
"""
