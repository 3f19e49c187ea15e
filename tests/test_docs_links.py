"""Links of the documentation lead somewhere, and the manual page of a command lists exactly the options that the command has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from wsra.runtime.cli import COMMANDS, app_of

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def without_code(text: str) -> str:
    """Markdown without fenced blocks and code spans, whose brackets are no links."""
    return re.sub(r"`[^`]*`", "", re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, formed as GitHub forms them."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    """Relative links of a page whose file, or whose heading, does not exist."""
    broken = []
    for link in LINK.findall(without_code(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_resolves(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading\n[a](page.md#a-heading) [b](#a-heading) [c](https://example.org) [d](missing.md) [e](#missing) `[f](code.md)`\n"
    )
    assert broken_links(page) == ["missing.md", "#missing"]


def documented_options(name: str) -> set[str]:
    """The options in the first column of the tables of the section "Options"."""
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    section = text.split("\n## Options\n", 1)[1].split("\n## ", 1)[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    return {option for cell in cells for option in re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", cell)}


def accepted_options(name: str) -> set[str]:
    """The options that `wsra NAME --help` lists, without --help."""
    command = typer.main.get_command(app_of([name])).commands[name]  # type: ignore[attr-defined]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    return {text for option in options for text in (*option.opts, *option.secondary_opts)} - {"--help"}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_manual_page_lists_the_options_of_its_command(name: str) -> None:
    accepted = accepted_options(name)
    assert accepted and documented_options(name) == accepted
