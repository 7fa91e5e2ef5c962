"""A design document in the terminal, a page at a time."""

import re
import sys
from typing import Any

from designs.binding import without_comments

_DETAILS = re.compile(r"<details>\s*<summary>(?P<asks>.*?)</summary>(?P<answer>.*?)</details>", re.DOTALL)


def walk(text: str, *, answers: bool) -> None:
    """Print a document; on a terminal it waits after each section, and answers open when they are asked for."""
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    waits = sys.stdin.isatty() and console.is_terminal
    for section in pages(text):
        shown, hidden = asked(section, answers=answers)
        console.print(Markdown(without_comments(shown), hyperlinks=False))
        if waits and not _go_on(console, hidden):
            return


def pages(text: str) -> list[str]:
    """The document's second-level sections, the title's first."""
    return [part for part in re.split(r"^(?=## )", text, flags=re.MULTILINE) if part.strip()]


def asked(section: str, *, answers: bool) -> tuple[str, list[str]]:
    """The section with its questions as a list, and the answers that it keeps to itself: none when they are open."""
    hidden: list[str] = []

    def write(match: re.Match[str]) -> str:
        question = re.sub(r"</?b>", "**", match["asks"])
        if answers:
            return f"- {question}\n\n> {' '.join(match['answer'].split())}\n"
        hidden.append(match["answer"].strip())
        return f"- ({len(hidden)}) {question}\n"

    return _DETAILS.sub(write, section), hidden


def _go_on(console: Any, hidden: list[str]) -> bool:
    """Wait; a number opens that answer. False: the reader has had enough."""
    from rich.markdown import Markdown

    words = "Enter: next, q: end" + (", a number: that answer" if hidden else "")
    while True:
        typed = console.input(f"[dim]{words} [/dim]").strip().lower()
        if typed in ("", "q"):
            return bool(typed != "q")
        if typed.isdigit() and 1 <= int(typed) <= len(hidden):
            console.print(Markdown(without_comments(hidden[int(typed) - 1])))
