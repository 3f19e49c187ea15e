"""Rendered clips of fixed cameras with captions and true spans: `demo` is plain, `cameras` is nearer to real ones."""
