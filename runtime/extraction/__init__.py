"""Videos to .feat files: one file, a batch that resumes, and the files of a camera one after the other."""
