"""Pools that run tasks: in this process, in several processes of this machine, or on a cluster. They know nothing about videos."""
