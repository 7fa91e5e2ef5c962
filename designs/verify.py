"""Whether a design still says what was measured: every number bound, true and fresh, every name known."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from statistics import median

from designs import binding, catalogue, collect, evidence, formula, freshness
from designs.design import Design
from designs.evidence import Claim, Evidence, FromResult
from designs.opened import Opened, open_design
from designs.records import Check, DrillCheck, FigureCheck, TestCheck


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was found: `problems` fail, `notes` tell what could not be checked or waits to be measured."""

    name: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    bound: int  # numbers in the prose that agree with their figure


@dataclass(kw_only=True)
class _Findings:
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(name: str, *, is_command: Callable[[str], bool], claims: bool = True) -> Report:
    """Check one design. `is_command` knows our command lines; without `claims` nothing is computed or timed again."""
    opened = open_design(name)
    found = _Findings()
    for source in opened.design.evidence:
        if isinstance(source, FromResult):
            _check_result(source, opened.evidence.get(source.key), found)
        else:
            _check_claim(name, source, opened.evidence.get(source.key), found, claims=claims)
    timed = {key: kept for key, kept in opened.evidence.items() if kept.machine != evidence.ANY_MACHINE}
    dirty = sorted(key for key, kept in timed.items() if kept.commit.endswith("-dirty"))
    if dirty:
        found.notes.append(f"measured on files that were not committed: {', '.join(dirty)}")
    known = {source.key for source in opened.design.evidence}
    found.problems += [
        f"evidence.json: {key} is no evidence of the design" for key in sorted(set(opened.evidence) - known)
    ]
    found.problems += _records(opened)
    text = opened.readme.read_text() if opened.readme.exists() else ""
    found.problems += prose(text, opened) if text else ["README.md is missing"]
    found.problems += _names(text, opened, is_command)
    return Report(
        name=name, problems=tuple(found.problems), notes=tuple(found.notes), bound=len(binding.bindings(text))
    )


def prose(text: str, opened: Opened) -> list[str]:
    """What is wrong with the numbers of a text."""
    problems = [f"README.md:{line}: {words} is bound to no figure" for line, words in binding.unbound(text)]
    for bound in binding.bindings(text):
        figure = opened.figures.get(bound.key)
        if figure is None:
            problems.append(f"README.md:{bound.line}: {bound.text} is bound to {bound.key}, which is no figure")
        elif not bound.agrees(figure.value):
            found = figure.value * bound.factor
            problems.append(f"README.md:{bound.line}: {bound.text} is not {bound.key}, which is {found:.6g}")
    return problems


def _check_result(source: FromResult, kept: Evidence | None, found: _Findings) -> None:
    """Evidence against the result file of now, and against the code that it measured."""
    content = evidence.read_result(source.result)
    again = f"run: {source.command}, then drillyard design collect"
    if content is None:
        if kept is not None:
            found.problems.append(f"{source.key}: docs/results/{source.result}.json is not there any more")
        else:
            found.notes.append(f"{source.key}: not measured yet; {again}")
        return
    if kept is None:
        found.problems.append(f"{source.key}: measured, but not in evidence.json; run: drillyard design collect")
        return
    try:
        fresh = evidence.from_result(source, content, freshness.digest(source.same, freshness.working_tree))
    except (LookupError, TypeError, ValueError) as error:
        found.problems.append(f"{source.key}: docs/results/{source.result}.json has another form: {error}")
        return
    for part in ("value", "unit", "says", "n", "spread", "commit", "machine", "command", "path"):
        if getattr(fresh, part) != getattr(kept, part):
            now, then = getattr(fresh, part), getattr(kept, part)
            found.problems.append(f"{source.key}: {part} is {then} in evidence.json, {now} in its source")
    if fresh.code != kept.code:
        found.problems.append(f"{source.key}: {', '.join(source.same)} changed since it was measured; {again}")
    _check_age(source, kept, found)


def _check_age(source: FromResult, kept: Evidence, found: _Findings) -> None:
    ancestor = freshness.is_ancestor(kept.commit)
    if ancestor is None:
        found.notes.append(f"{source.key}: this checkout has no history to find commit {kept.commit} in")
        return
    if not ancestor:
        # The digest shows that the code is the same all the same; without one nobody can tell what was measured.
        findings = found.notes if source.same else found.problems
        findings.append(f"{source.key}: measured at commit {kept.commit}, which is not in this history")
        return
    count = freshness.commits_since(kept.commit, source.ages) if source.ages else 0
    if count > freshness.MOST_COMMITS:
        where = ", ".join(source.ages)
        found.problems.append(f"{source.key}: {count} commits to {where} since; run: {source.command}")


def _check_claim(name: str, claim: Claim, kept: Evidence | None, found: _Findings, *, claims: bool) -> None:
    """A cheap number, computed or timed again."""
    if kept is None:
        found.problems.append(f"{claim.key}: not in evidence.json; run: drillyard design collect {name}")
        return
    if (kept.unit, kept.says) != (claim.unit, claim.says):
        found.problems.append(f"{claim.key}: evidence.json has other words; run: drillyard design collect {name}")
    if not claims:
        return
    if claim.tolerance is None:
        value = collect.compute_claim(name, claim)
        if value != kept.value:
            found.problems.append(f"{claim.key}: {kept.value:g} in evidence.json, computed again {value:g}")
        return
    value = median(collect.measure_claim(name, claim, collect.QUICK_ROUNDS))
    if not 1 / claim.tolerance <= value / kept.value <= claim.tolerance:
        allowed = f"a factor of {claim.tolerance:g} is allowed"
        found.problems.append(f"{claim.key}: {kept.value:.3g} in evidence.json, measured again {value:.3g}; {allowed}")


def _records(opened: Opened) -> list[str]:
    """What is wrong with the typed data: numbers written out, unknown figures, drills and checks."""
    design, problems = opened.design, []
    pending = {source.key for source in design.evidence} - set(opened.evidence)
    for place, text in texts(design):
        problems += [f"{place}: {words} is bound to no figure" for _, words in binding.unbound(_no_places(text))]
        problems += [f"{place}: {key} is no figure" for key in sorted(binding.keys(text) - set(opened.figures))]
    for estimate in design.estimates:
        if estimate.key not in opened.figures and not set(formula.names(estimate.formula)) & pending:
            problems.append(f"estimate {estimate.key}: {estimate.formula} names what is no figure above it")
    keys = [bound.key for bound in design.bounds] + [figure.key for figure in design.rubric]
    keys += [design.rate_key, design.traffic_key, design.replicas_key]
    problems += [f"{key} is no figure" for key in keys if key not in opened.figures]
    for bound in design.bounds:
        figure = opened.figures.get(bound.key)
        if figure is not None and not bound.holds(figure.value):
            problems.append(f"bound {bound.key}: the design breaks its own bound with {figure.value:g}: {bound.says}")
    for decision in design.decisions:
        problems += [f"decision {decision.key}: {words}" for words in _check(decision.confirmed_by, opened)]
    drills = [mode.drill for mode in design.failures if mode.drill] + [each.drill for each in design.drills]
    problems += [f"drill {name} is not in the catalogue" for name in drills if name not in catalogue.drills()]
    seen_by = {name for mode in design.failures for name in mode.seen_by}
    problems += [f"metric {name} is not exported" for name in sorted(seen_by - catalogue.metrics())]
    return problems


def _check(check: Check, opened: Opened) -> Iterator[str]:
    """Why a decision's confirmation does not hold, if it does not."""
    match check:
        case TestCheck(name=name):
            if not catalogue.has_test(name):
                yield f"{name} does not exist"
        case DrillCheck(name=name):
            if name not in catalogue.drills():
                yield f"drill {name} is not in the catalogue"
        case FigureCheck():
            yield from _check_figures(check, opened)


def _check_figures(check: FigureCheck, opened: Opened) -> Iterator[str]:
    keys = [key for key in (check.key, check.at_least, check.at_most) if key is not None]
    missing = [key for key in keys if key not in opened.figures]
    if missing:
        yield f"{', '.join(missing)} is no figure"
        return
    value = opened.figures[check.key].value
    if check.at_least is not None and value < opened.figures[check.at_least].value:
        yield f"{check.key} is below {check.at_least}: the decision is not confirmed"
    if check.at_most is not None and value > opened.figures[check.at_most].value:
        yield f"{check.key} is above {check.at_most}: the decision is not confirmed"


def texts(design: Design) -> Iterator[tuple[str, str]]:
    """Every text of the typed data that may name figures, and where it stands."""
    for decision in design.decisions:
        parts = [
            decision.title,
            decision.context,
            decision.decision,
            *(f"{option.name} {option.says}" for option in decision.options),
        ]
        yield f"decision {decision.key}", "\n".join(parts)
    for mode in design.failures:
        yield f"failure {mode.name}", "\n".join((mode.effect, mode.limited_by, mode.result))
    for question in design.questions:
        yield f"question {question.topic}", "\n".join((question.asks, question.answer, *question.probes))
    for figure in design.rubric:
        yield f"rubric {figure.key}", "\n".join((figure.asks, figure.hint))
    for each in design.drills:
        yield f"drill {each.drill}", each.finds_out
    for item in design.inputs:
        yield f"input {item.key}", item.says
    yield from ((f"evidence {source.key}", source.says) for source in design.evidence)
    yield from ((f"estimate {estimate.key}", estimate.says) for estimate in design.estimates)
    yield from ((f"bound {bound.key}", bound.says) for bound in design.bounds)


def _no_places(text: str) -> str:
    return re.sub(r"\{[^}]*\}", "", text)


def _names(text: str, opened: Opened, is_command: Callable[[str], bool]) -> list[str]:
    """Links, metrics, tests and commands of the prose that lead nowhere."""
    folder = opened.readme.parent
    problems = []
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith("http") and not (folder / target).exists():
            problems.append(f"README.md: the link {target} leads nowhere")
    code = re.findall(r"`([^`\n]+)`", text)
    exported = catalogue.metrics()
    for name in _distinct(word for words in code for word in re.findall(r"\bdrillyard_\w+", words)):
        if name not in exported:
            problems.append(f"README.md: {name} is not exported")
    for name in _distinct(words for words in code if words.startswith("tests/") and "::" in words):
        if not catalogue.has_test(name):
            problems.append(f"README.md: {name} does not exist")
    for words in _distinct(words for words in code if words.startswith(("drillyard ", "make "))):
        if not is_command(words):
            problems.append(f"README.md: `{words}` is no command")
    return problems


def _distinct(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
