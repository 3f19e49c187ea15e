"""Video files: opened, decoded, timed, shown as they must be, and cut into snippets."""
