"""Words of the axes of a layout that are chosen by number."""

RECOMPUTE = ("none", "selective", "full")
SCHEDULE = ("1F1B", "zero-bubble", "DualPipe")
CP_KIND = ("ring", "all-to-all")
OFFLOAD = ("none", "optimizer", "optimizer and activations")
ZERO = ("nothing", "optimizer", "gradients", "parameters")
