"""Windows, sums and moments: arithmetic over positions in time. Opens no file."""
