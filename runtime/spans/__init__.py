"""Windows, sums and moments: arithmetic on spans of time. Opens no file."""
