"""Reading and writing files safely: temporary names, locks, limits, memory maps, digests. It knows nothing about their content."""
