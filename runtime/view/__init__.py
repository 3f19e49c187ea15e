"""The page of `wsra view`: a local server over an archive, for whoever asks, looks and plays in a browser."""
