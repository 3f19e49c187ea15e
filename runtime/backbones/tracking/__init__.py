"""The built-in `motion` backbone: background, blobs, tracks, and the numbers of each object."""
