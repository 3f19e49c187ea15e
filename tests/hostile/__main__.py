"""`python -m tests.hostile`: makes the packages of tests/ importable, then runs the command."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "support")]

if __name__ == "__main__":
    from hostile.command import main

    sys.exit(main())
