"""A server within a process: one bundle stays open and answers many requests."""
