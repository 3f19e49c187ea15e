"""Video files: opening, decoding, timing, orientation, and cutting into snippets."""
