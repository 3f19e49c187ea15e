"""What this device does: stages of grounding timed, their memory, and both held against reading the keys once."""
