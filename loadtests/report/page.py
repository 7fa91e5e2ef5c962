"""Drill results -> one self-contained HTML page: no script, no request to anywhere, light and dark."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from drillyard.core.errors import UsageError
from drillyard.core.slo import DrillResult
from loadtests.report.bounds import bounds
from loadtests.report.result_charts import charts
from loadtests.report.tables import tables

_STYLE_FILE = Path(__file__).parent / "report.css"
_MEDIA_TYPES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}


@dataclass(frozen=True, kw_only=True)
class Section:
    """More for the page: a table (first row its head) and images, each a caption and a PNG, JPEG or SVG."""

    title: str
    rows: Sequence[Sequence[str]] = ()
    images: Sequence[tuple[str, Path | bytes]] = ()
    text: str = ""


def render(results: Sequence[DrillResult], *, title: str, sections: Sequence[Section] = ()) -> str:
    """The page as text; every word from outside is escaped. Raises UsageError for an image of another kind."""
    body = [f"<h1>{escape(title)}</h1>", _summary(results)]
    body += [_section(section) for section in sections]
    body += [_drill(result, place) for place, result in enumerate(results)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE_FILE.read_text()}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """`rows` are HTML already."""
    cells = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table></div>'


def _verdict(result: DrillResult) -> str:
    return f'<span class="verdict {result.verdict.lower()}">{escape(result.verdict)}</span>'


def _name(result: DrillResult) -> str:
    return f"{result.plan.model} {result.plan.name}"


def _summary(results: Sequence[DrillResult]) -> str:
    if not results:
        return ""
    rows = [
        [
            f'<a href="#drill-{place}">{escape(_name(result))}</a>',
            _verdict(result),
            f"{result.offered_rps:,.0f} rps",
            f"{result.goodput_rps:,.0f} rps",
            f"{result.p50_ms:.2f} ms",
            f"{result.p99_ms:.2f} ms",
            f"{result.errors:,} of {result.requests:,}",
        ]
        for place, result in enumerate(results)
    ]
    machines = sorted({f"{result.machine}, commit {result.commit}" for result in results})
    where = f'<p class="note">Measured on {escape("; ".join(machines))}.</p>'
    return _table(["drill", "verdict", "offered", "goodput", "p50", "p99", "errors"], rows) + where


def _drill(result: DrillResult, place: int) -> str:
    load = result.plan.load
    rows = [[escape(b.name), escape(b.promised), escape(b.measured), _mark(b.held)] for b in bounds(result)]
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in result.reasons)
    facts = (
        f"{load.words}; "
        f"n = {result.requests:,}; {result.late_sends:,} late sends; started {result.started_at}; "
        f"commit {result.commit}; {result.machine}. Latency counts from the intended send time."
    )
    return (
        f'<section id="drill-{place}"><h2>{escape(_name(result))} {_verdict(result)}</h2>'
        + (f'<ul class="reasons">{reasons}</ul>' if reasons else "")
        + _table(["promise", "bound", "measured", ""], rows)
        + _more(result)
        + "".join(charts(result))
        + f'<p class="note">{escape(facts)}</p></section>'
    )


def _mark(held: bool) -> str:
    return '<span class="kept">✓ kept</span>' if held else '<span class="broken">✗ broken</span>'


def _more(result: DrillResult) -> str:
    """Hypothesis, faults, budget and alerts."""
    parts = []
    for table in tables(result):
        marks = [[] if holds is None else [_mark(holds)] for holds in table.holds] or [[] for _ in table.rows]
        rows = [[*map(escape, row), *mark] for row, mark in zip(table.rows, marks, strict=True)]
        head = [*table.head, ""] if table.holds else table.head
        said = f'<p class="said">{escape(table.text)}</p>' if table.text else ""
        parts.append(f"<h3>{escape(table.title)}</h3>{said}" + (_table(head, rows) if rows else ""))
    return "".join(parts)


def _section(section: Section) -> str:
    table = ""
    if section.rows:
        head, *rows = section.rows
        table = _table(head, [[escape(cell) for cell in row] for row in rows])
    images = "".join(
        f'<figure><img src="{_data_uri(image)}" alt="{escape(caption)}"><figcaption>{escape(caption)}</figcaption>'
        "</figure>"
        for caption, image in section.images
    )
    text = f"<p>{escape(section.text)}</p>" if section.text else ""
    return f'<section><h2>{escape(section.title)}</h2>{text}{table}<div class="images">{images}</div></section>'


def _data_uri(image: Path | bytes) -> str:
    data = image if isinstance(image, bytes) else image.read_bytes()
    kinds = [kind for magic, kind in _MEDIA_TYPES.items() if data.startswith(magic)]
    if not kinds and b"<svg" in data[:2000]:
        kinds = ["image/svg+xml"]  # as an image it can neither run scripts nor fetch anything
    if not kinds:
        raise UsageError("image", data[:8], "PNG, JPEG or SVG")
    return f"data:{kinds[0]};base64,{base64.b64encode(data).decode('ascii')}"
