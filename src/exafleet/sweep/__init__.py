"""Sweep: one question asked many times, in this process or in several.

local        the same function over many items, results in the order of the items
cluster      the same on the processes of a Ray cluster
sensitivity  what one fact more or less would change about a plan
"""
