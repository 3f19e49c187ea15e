"""Objects from a detector instead of from the background: its settings, its graph, its detections, and the rows of tracks."""
