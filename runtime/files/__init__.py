"""Reading and writing files safely: temporary names, locks, limits, memory maps, digests. Knows nothing of what is in them."""
