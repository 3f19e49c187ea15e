"""Fixed-camera clips rendered to real H.264 files, with captions and, apart from them, the true spans.

`world` says who appears where and when, `backdrop` and `actors` draw, `wording` puts events into sentences, `render` writes the files.
"""
