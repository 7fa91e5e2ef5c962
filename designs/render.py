"""Parts of the documents that are made from the typed data; run by cog (`make format`). All numbers come out bound."""

from collections.abc import Iterable, Sequence

import designs
from designs.evidence import ANY_MACHINE, FromResult
from designs.figures import Figure, shown
from designs.opened import Opened, open_design
from designs.records import Check, Decision, DrillCheck, FailureMode, FigureCheck, Question, TestCheck
from loadtests.catalogue.entry import base


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def inputs(name: str) -> str:
    """What the design starts from."""
    opened = open_design(name)
    rows = [
        [opened.fill(each.says), _number(opened.figures[each.key]), each.unit, f"`{each.source}`"]
        for each in opened.design.inputs
    ]
    return table(["input", "value", "unit", "source"], rows)


def estimates(name: str) -> str:
    """Every computed figure with its formula; those that wait for a measurement are left out."""
    opened = open_design(name)
    rows = [
        [opened.fill(each.says), _number(opened.figures[each.key]), each.unit, f"`{each.key} = {each.formula}`"]
        for each in opened.design.estimates
        if each.key in opened.figures
    ]
    return table(["figure", "value", "unit", "from"], rows)


def measured(name: str, *keys: str) -> str:
    """The named evidence with spread and origin (all without names); what is not measured yet says how to."""
    opened = open_design(name)
    rows = []
    for source in opened.design.evidence:
        if keys and source.key not in keys:
            continue
        found = opened.evidence.get(source.key)
        if found is None:
            command = source.command if isinstance(source, FromResult) else f"drillyard design collect {name} --measure"
            rows.append([source.says, "not measured yet", source.unit, "", f"`{command}`"])
            continue
        figure = opened.figures[source.key]
        origin = f"`{found.commit}`, `{found.command}`"
        rows.append([source.says, _number(figure), source.unit, _spread(source.key, opened), origin])
    machines = {found.machine: None for key, found in opened.evidence.items() if not keys or key in keys}
    lines = "; ".join(f"`{machine}`" for machine in machines if machine != ANY_MACHINE)
    head = ["measured", "value", "unit", "lowest to highest, n", "commit and command"]
    return table(head, rows) + (f"\nOn {lines}.\n" if lines else "")


def decisions(name: str) -> str:
    """The decision records."""
    opened = open_design(name)
    return "\n".join(_decision(each, opened) for each in opened.design.decisions)


def failures(name: str) -> str:
    """What can fail, how it is seen, and what the drill measured."""
    opened = open_design(name)
    head = ["failure", "effect", "seen by", "limited by", "drill", "result"]
    return table(head, [_failure(mode, opened) for mode in opened.design.failures])


def drills(name: str) -> str:
    """What a proposed configuration would face."""
    opened = open_design(name)
    return table(
        ["drill", "what it finds out"],
        [[f"`{each.drill}`", opened.fill(each.finds_out)] for each in opened.design.drills],
    )


def rubric(name: str) -> str:
    """Figures to estimate, answers hidden."""
    opened = open_design(name)
    parts = []
    for each in opened.design.rubric:
        figure = opened.figures[each.key]
        answer = (
            f"{_number(figure)} {figure.unit}: `{figure.source}`. Good is within a factor of {each.within_factor:g}"
            f"<!--{each.within_key}-->. {opened.fill(each.hint)}"
        )
        parts.append(_hidden(opened.fill(each.asks), answer))
    return "\n".join(parts)


def questions(name: str) -> str:
    """The interviewer's questions, answers hidden until opened."""
    opened = open_design(name)
    return "\n".join(_question(each, opened) for each in opened.design.questions)


def index() -> str:
    """Every design there is."""
    rows = []
    for name in designs.names():
        opened = open_design(name)
        design = opened.design
        slo, load = design.drill.slo, base(design.drill)
        promise = f"`{load.rate_rps:g} requests/s, p50 {slo.p50_ms:g} ms, p99 {slo.p99_ms:g} ms`"
        counts = f"`{len(opened.evidence)} / {len(design.questions)} / {len(design.decisions)}`"
        rows.append([f"[{design.title}]({name}/README.md)", design.question, promise, counts])
    return table(["design", "question", "promise of the drill", "measured numbers / questions / decisions"], rows)


def _decision(decision: Decision, opened: Opened) -> str:
    lines = [f"### {opened.fill(decision.title)}\n", f"{opened.fill(decision.context)}\n"]
    lines += [f"- **{opened.fill(option.name)}**: {opened.fill(option.says)}" for option in decision.options]
    lines += [f"\n{opened.fill(decision.decision)}\n", f"Confirmed by {_check(decision.confirmed_by, opened)}.\n"]
    return "\n".join(lines)


def _check(check: Check, opened: Opened) -> str:
    match check:
        case TestCheck(name=name):
            return f"`{name}`"
        case DrillCheck(name=name):
            return f"drill `{name}`"
        case FigureCheck(key=key, at_least=least, at_most=most):
            other, words = (least, "at least") if least is not None else (most, "at most")
            assert other is not None
            mine, others = opened.figures[key], opened.figures[other]
            return f"`{key}` {_number(mine)} being {words} `{other}` {_number(others)}"


def _failure(mode: FailureMode, opened: Opened) -> list[str]:
    seen_by = ", ".join(f"`{name}`" for name in mode.seen_by)
    drill = f"`{mode.drill}`" if mode.drill else "none"
    return [mode.name, opened.fill(mode.effect), seen_by, opened.fill(mode.limited_by), drill, opened.fill(mode.result)]


def _question(question: Question, opened: Opened) -> str:
    answer = opened.fill(question.answer)
    if question.probes:
        answer += "\n\nNext: " + " ".join(opened.fill(probe) for probe in question.probes)
    return _hidden(f"<b>{question.topic}.</b> {opened.fill(question.asks)}", answer)


def _hidden(summary: str, answer: str) -> str:
    return f"<details>\n<summary>{summary}</summary>\n\n{answer}\n\n</details>\n"


def _number(figure: Figure) -> str:
    return f"{shown(figure.value)}<!--{figure.key}-->"


def _spread(key: str, opened: Opened) -> str:
    found = opened.evidence[key]
    count = f"n = {found.n}<!--{key}.n-->"
    if found.spread is None:
        return count
    low, high = (shown(value) for value in found.spread)
    return f"{low}<!--{key}.low--> to {high}<!--{key}.high-->, {count}"
