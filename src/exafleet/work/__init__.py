"""Work: what an architecture asks of accelerators, as operators with FLOPs and bytes; no hardware and no seconds."""
