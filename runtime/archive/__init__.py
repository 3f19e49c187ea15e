"""Many files of many cameras: what is asked, where features lie, which files follow each other, one ranked list."""
