"""The command line: parse, import lazily, call the library, print. Data on stdout, messages and progress on stderr.

Libraries are imported once signals are heeded, so that Ctrl-C during an import ends as it does elsewhere.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from wsra.runtime.terminal.signals import end_at_once, exit_code, heed_signals

if TYPE_CHECKING:
    import typer

COMMANDS = (
    "demo",
    "scenes",
    "extract",
    "convert",
    "info",
    "train",
    "export",
    "verify",
    "calibrate",
    "evaluate",
    "build",
    "doctor",
    "bench",
    "ground",
    "view",
)


def app_of(commands: Sequence[str] = COMMANDS) -> typer.Typer:
    """The command line with some of its commands: reading the signatures of those that are not run takes longer than an answer."""
    import typer

    from wsra.runtime.commands.options import begin

    app = typer.Typer(
        name="wsra",
        help="Find, in hours of surveillance video, the moments that match a sentence.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(begin)  # with a callback, also a single command is named
    for name in commands:
        app.command()(getattr(import_module(f"wsra.runtime.commands.{name}"), name))
    return app


def __getattr__(name: str) -> object:
    """`app`, the command line with all commands, for who runs it from Python."""
    if name == "app":
        return app_of()
    raise AttributeError(f"module 'wsra.runtime.cli' has no attribute {name!r}")


def main() -> None:
    """Run the command line: exit code 1, with one line on stderr, of what a user can mend, 2 of a wrong option, 130 or 143 of a signal."""
    heed_signals()
    try:
        code = _run()
    except BaseException:
        if exit_code() is None:
            raise
        code = 1  # of whatever a library made of the signal; its frames are gone now, with what they held
    end_at_once()
    with contextlib.suppress(Exception, SystemExit):  # what is printed is out, or reported as lost
        sys.stdout.flush()
    sys.exit(exit_code() or code)


def _run() -> int:
    """The exit code of the command that was asked for."""
    from wsra.runtime.errors import EXTRA_OF, MissingExtraError, WsraError
    from wsra.runtime.terminal.console import log_warnings, messages_shown, print_message
    from wsra.runtime.terminal.streams import claim_streams

    claim_streams()
    log_warnings()
    try:
        with messages_shown():
            code = _asked()
        sys.stdout.flush()
    except WsraError as err:
        error: WsraError = err
    except ModuleNotFoundError as err:
        library = (err.name or "").split(".")[0]
        if library not in EXTRA_OF:
            raise
        error = MissingExtraError(library, EXTRA_OF[library], "this command")
    except OSError as err:  # of a path that was looked at: its name is too long, a folder on the way may not be entered
        if err.filename is None:
            raise
        error = WsraError(f"{os.fsdecode(err.filename)}: cannot be used ({err.strerror}); give another path")
    else:
        return code
    print_message(f"wsra: {error}")
    return 1


def _asked() -> int:
    import typer

    from wsra.runtime.terminal.console import print_message

    usage_error: Any = typer.BadParameter.__base__  # Typer has Click inside, under one name or another
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        ended = app_of([asked] if asked in COMMANDS else COMMANDS)(standalone_mode=False)
    except usage_error as err:
        usage = io.StringIO()
        err.show(usage)
        for line in usage.getvalue().splitlines():
            print_message(line)
        return int(err.exit_code)
    return int(ended or 0)


if __name__ == "__main__":
    main()
