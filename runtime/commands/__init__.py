"""One file per command: its options, and a call of the library; other packages are imported inside the body only."""
