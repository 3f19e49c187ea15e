"""The command line: parse, import lazily, call the library, print. Data on stdout, messages and progress on stderr."""

from __future__ import annotations

import signal
import sys

import typer

from wsra.runtime.commands.bench import bench
from wsra.runtime.commands.build import build
from wsra.runtime.commands.convert import convert
from wsra.runtime.commands.demo import demo
from wsra.runtime.commands.doctor import doctor
from wsra.runtime.commands.evaluate import evaluate
from wsra.runtime.commands.export import export
from wsra.runtime.commands.extract import extract
from wsra.runtime.commands.ground import ground
from wsra.runtime.commands.info import info
from wsra.runtime.commands.train import train
from wsra.runtime.commands.verify import verify
from wsra.runtime.errors import EXTRA_OF, MissingExtraError, WsraError
from wsra.runtime.stdout import claim_stdout

app = typer.Typer(
    name="wsra",
    help="Find, in hours of surveillance video, the moments that match a sentence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for command in (demo, extract, convert, info, train, export, verify, evaluate, build, doctor, bench, ground):
    app.command()(command)


def main() -> None:
    """Run the command line; what a user can mend is one line on stderr and exit code 1."""
    claim_stdout()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that unfinished files are removed
    try:
        app()
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
