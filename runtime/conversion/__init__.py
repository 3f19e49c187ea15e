"""Features that other tools made, as .feat files: NumPy, HDF5, PyTorch, and the published sets of the field."""
