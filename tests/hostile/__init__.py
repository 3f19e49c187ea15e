"""Attacks on wsra that are kept: damaged and hostile files, kills, two processes at once, full disks, strange paths.

`python -m tests.hostile --help` from the root of the repository tells how it is run; docs/measurements/robustness.md what it found.
"""
