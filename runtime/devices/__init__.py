"""What a machine is and has: processor, GPU, Jetson, libraries, and what stops wsra on it."""
