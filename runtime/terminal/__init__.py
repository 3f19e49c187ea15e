"""The terminal: messages, progress, tables, signals, and standard streams that are closed or full."""
