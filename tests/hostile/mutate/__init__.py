"""Ways to damage files: by bytes, and by the structure of each format. Each takes a source of chance and tells what it did."""
