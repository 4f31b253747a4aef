"""exafleet plans fleets of AI accelerators: measured physics below, dates and money above."""

__version__ = "0.1.0"
