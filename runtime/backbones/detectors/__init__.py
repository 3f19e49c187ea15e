"""Objects by a detector instead of by the background: its settings, its graph, what it finds, and the rows of what is followed."""
