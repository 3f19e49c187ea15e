"""`wsra view`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wsra.runtime.commands.options import (
    BundleOption,
    DecoderOption,
    DeviceOption,
    FallbackOption,
    KernelOption,
    PrecisionOption,
    ProviderOption,
    ThreadsOption,
)

PORT = 8730


def view(
    folders: Annotated[list[Path] | None, typer.Argument(metavar="[FOLDER]...", help="Opened folders; default the current one.")] = None,
    bundle: BundleOption = None,
    host: Annotated[
        str, typer.Option(help="The address to serve; any but this machine's own needs a token, which is printed.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Its port; 0 takes any that is free.")] = PORT,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser.")] = False,
    precision: PrecisionOption = "auto",
    provider: ProviderOption = "auto",
    allow_fallback: FallbackOption = False,
    threads: ThreadsOption = 0,
    kernel: KernelOption = "auto",
    device: DeviceOption = 0,
    decoder: DecoderOption = "cpu",
) -> None:
    """Open a page in the browser: ask, look, play."""
    from importlib import import_module

    from wsra.runtime.backends.settings import RunSettings
    from wsra.runtime.commands.ground import bundle_or_stock
    from wsra.runtime.errors import EXTRA_OF, MissingExtraError
    from wsra.runtime.terminal.console import print_message

    for library in ("starlette", "uvicorn"):
        try:
            import_module(library)
        except ModuleNotFoundError as err:
            raise MissingExtraError(library, EXTRA_OF[library], "wsra view") from err
    from wsra.runtime.view.running import opened

    settings = RunSettings(precision, provider, threads, allow_fallback, kernel, device, decoder)
    with opened(folders or [Path()], bundle_or_stock(bundle), settings, host=host, port=port) as page:
        url = page.address.url
        if page.address.token is not None:
            print_message(f"WARNING: other machines can reach {host}, and there is no TLS: whoever listens on the way reads everything")
        print_message(f"wsra view: {url} (Ctrl-C ends it)")
        if not no_browser:
            _open_browser(url)
        page.until_ended()


def _open_browser(url: str) -> None:
    """Open the page in a browser with a window, where there is a display; one of the terminal would take that over."""
    import os
    import sys
    import webbrowser

    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return
    if type(browser) is not webbrowser.GenericBrowser:
        browser.open(url)
