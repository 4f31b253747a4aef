"""Replay: live through a plan event by event, by the exact rules that a linear programme can only approximate.

trace   what happened: runs, service, the ledger of who owned and who used what
live    Plan -> Trace: deliveries, installation day by day, whole units, whole gangs, failures
"""
