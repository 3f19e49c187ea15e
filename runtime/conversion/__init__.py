"""Conversion of features from other tools into .feat files: NumPy, HDF5, PyTorch, and published feature sets."""
