"""What is asked on the page, its answers as they come, and what is handed over."""
