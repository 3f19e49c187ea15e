"""Fixed-camera clips rendered to real H.264 files, with captions and, in separate files, the true spans.

`world` decides who appears where and when, `backdrop` and `actors` draw them, `wording` describes them in sentences, and `render`
writes the files.
"""
