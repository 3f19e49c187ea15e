"""Where tasks run: in this process, in several of this machine, or on a cluster. Knows nothing about videos and answers."""
