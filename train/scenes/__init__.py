"""Rendered clips of fixed cameras with captions and true spans: `demo` is simple, `cameras` is closer to real footage."""
