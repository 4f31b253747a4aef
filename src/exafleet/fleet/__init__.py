"""Fleet: goodput and power of chips at work, and the one table that plans are made of."""
