"""The command line: parse, import lazily, call the library, print. Data on stdout, messages and progress on stderr."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from importlib import import_module

import typer

from wsra.runtime.errors import EXTRA_OF, MissingExtraError, WsraError
from wsra.runtime.stdout import claim_stdout

COMMANDS = ("demo", "extract", "convert", "info", "train", "export", "verify", "evaluate", "build", "doctor", "bench", "ground")


def app_of(commands: Sequence[str] = COMMANDS) -> typer.Typer:
    """The command line with some of its commands: reading the signatures of those that are not run takes longer than an answer."""
    app = typer.Typer(
        name="wsra",
        help="Find, in hours of surveillance video, the moments that match a sentence.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(lambda: None)  # also a single command is named
    for name in commands:
        app.command()(getattr(import_module(f"wsra.runtime.commands.{name}"), name))
    return app


def __getattr__(name: str) -> object:
    """`app`, the command line with all commands, for who runs it from Python."""
    if name == "app":
        return app_of()
    raise AttributeError(f"module 'wsra.runtime.cli' has no attribute {name!r}")


def main() -> None:
    """Run the command line; what a user can mend is one line on stderr and exit code 1."""
    claim_stdout()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that unfinished files are removed
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        app_of([asked] if asked in COMMANDS else COMMANDS)()
    except WsraError as err:
        told: WsraError = err
    except ModuleNotFoundError as err:
        library = (err.name or "").split(".")[0]
        if library not in EXTRA_OF:
            raise
        told = MissingExtraError(library, EXTRA_OF[library], "this command")
    else:
        return
    print(f"wsra: {told}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
