"""Videos, excerpts, still pictures and boxes for the browser."""
