"""Tables of what drills measured, in the documentation; run by cog (`make format`)."""

import json
from typing import Any

import recorded
from recorded import held, origin, result
from tables import table


def drill_results() -> str:
    """What each drill of the catalogue measured, where it has been run."""
    from loadtests.catalogue.drills import CATALOGUE

    files = sorted(recorded.RESULTS.glob("drills-*.json"))
    found = [row for file in files for row in json.loads(file.read_text())["drills"]]
    found.sort(key=lambda row: (list(CATALOGUE).index(row["drill"]), row["system"]))
    rows = []
    for row in found:
        held = {True: "held", False: "refuted", None: "open"}[row["hypothesis_held"]]
        p99 = "" if row["p99_ms"] is None else f"{row['p99_ms']:.1f} ms"
        failed = "" if row["errors"] is None else f"{row['errors']:,} of {row['requests']:,}"
        plot = f"[plot](results/{row['plot']})" if row["plot"] else ""
        what = "; ".join(row["findings"] or row["reasons"])
        rows.append([f"`{row['drill']}`", row["system"], row["verdict"], held, what, p99, failed, plot])
    if not rows:
        return "They have not been measured for this page yet: `make drill-catalogue` does it."
    head = ["drill", "system", "promise", "hypothesis", "figures of the hypothesis", "p99", "failed requests", "plot"]
    origins = "; ".join(sorted({origin(row) for row in found}))
    return f"{table(head, rows)}\n\n{origins}. Promise and hypothesis are judged apart (see above)."


def selftest() -> str:
    """The load generator and its recorder held against what is known."""
    content = result("drill-selftest")
    rows = [
        [each["name"], each["bar"], each["measured"], "yes" if each["held"] else "NO"] for each in content["checks"]
    ]
    return f"{table(['check', 'bar', 'measured', 'held'], rows)}\n\n{origin(content)}"


def issue_results() -> str:
    """Both sides of each issue, from the measured results."""
    content = result("bench-issues")
    rows = []
    for issue in content["issues"]:
        for place, figure in enumerate(issue["figures"]):
            cells = ["" if figure[side] is None else f"{figure[side]:,.2f}" for side in ("broken", "fixed")]
            head = [f"`{issue['issue']}`", issue["verdict"]] if place == 0 else ["", ""]
            rows.append([*head, figure["words"], *cells])
    return f"{table(['issue', 'verdict', 'figure', 'broken', 'mended'], rows)}\n\n{origin(content)}"


def faults() -> str:
    """What each fault cost, from the measured results."""
    content = result("bench-faults")
    rows = []
    for row in content["faults"]:
        times = _times(row, "detected_after_s", "recovered_after_s", "whole_again_s")
        rows.append([row["purpose"], _lost(row), str(row["wrong_answers"]), *_disturbance(row), *times])
    head = ["fault", "failed requests", "wrong answers", "p99 / max, ms", "disturbed"]
    head += ["noticed after", "recovered after", "whole again after"]
    return f"{table(head, rows)}\n\n{content['rate_rps']:.0f} requests/s. {origin(content)}"


def nodes() -> str:
    """What the loss of a node cost requests, and training, from the measured results."""
    content = result("bench-nodes")
    rows = []
    for row in content["serving"]:
        again = f"{row['replicas_placed_again']} of {row['replicas']}"
        times = _times(row, "whole_again_s", "recovered_after_s")
        rows.append([row["purpose"], _lost(row), *_disturbance(row), again, *times])
    head = ["fault", "failed requests", "p99 / max, ms", "disturbed", "replicas placed again"]
    served = table([*head, "whole again after", "recovered after"], rows)
    runs = content["training"]
    rows = []
    for name, words in (
        ("undisturbed", "undisturbed"),
        ("node_killed", "a worker's node killed after the first epoch"),
    ):
        metric, (value, _, _) = next(iter(runs[name]["metrics"].items()))
        cells = [f"{metric} {value:.4f}", str(runs[name]["restarts"]), f"{runs[name]['total_s']:.0f} s"]
        rows.append([words, *cells])
    trained = table(["training on two nodes of three", "test slice", "restarts", "whole command"], rows)
    load = f"{content['nodes']} nodes, {content['rate_rps']:.0f} requests/s"
    return f"{served}\n\n{trained}\n\n{load}. {origin(content)}"


def overload() -> str:
    """Goodput at and beyond capacity, from the measured results."""
    content = result("bench-overload")
    rows = []
    for number, each in enumerate(content["rounds"], 1):
        for name, words in (("at", "capacity"), ("twice", "twice the capacity")):
            part = each[name]
            refused = f"{part['refusal_ms']['p50']:.0f} / {part['refusal_ms']['p99']:.0f}"
            cells = [f"{part['offered_rps']:.0f}", f"{part['goodput_rps']:.0f}", f"{part['p99_ms']:.0f}", refused]
            rows.append([f"{number}: {words}", *cells])
    bars = "; ".join(
        f"{name.replace('_', ' ')} {bar['median']:.2f} ({bar['low']:.2f} to {bar['high']:.2f}), bar {bar['bar']}"
        for name, bar in content["bars"].items()
    )
    head = ["round", "offered, requests/s", "goodput, requests/s", "p99 of answers, ms", "refusal p50 / p99, ms"]
    return f"{table(head, rows)}\n\nMedians over the rounds: {bars}. {origin(content)}"


def autoscaling() -> str:
    """How fast replicas followed a step of the load, and what it cost the requests."""
    content = result("bench-autoscale")
    words = {"before": "before", "step": "tenfold", "after": "as before"}
    rows = [
        [
            f"{words[phase['phase']]}: {phase['rate_rps']:.0f} requests/s",
            f"{phase['failed']} of {phase['requests']}",
            f"{phase['p99_ms']:.0f}",
            ", ".join(f"{count} at {at_s:.1f} s" for at_s, count in phase["replicas"]),
        ]
        for phase in content["phases"]
    ]
    head = ["load", "failed requests", "p99, ms", "replicas, from the phase's start"]
    return f"{table(head, rows)}\n\n{origin(content)}"


def twin() -> str:
    """Predicted against measured on loads that the twin was not calibrated on."""
    content = result("bench-twin")
    rows, highest = [], []
    for name, system in content["systems"].items():
        for row in sorted(system["rows"], key=lambda row: row["load"]["rate_rps"]):
            load = f"{row['load']['rate_rps']:.0f} {row['load']['shape']['kind']}"
            bar = content["bars"]["latency"] if row["utilisation"] < content["bars"]["utilisation"] else None
            cells = [_beside(row[field], ".2f", bar) for field in ("p50_ms", "p99_ms")]
            rows.append([name, load, f"{row['utilisation']:.0%} {row['bottleneck']}", *cells])
        highest.append([name, _beside(system["sustainable"], ",.0f", content["bars"]["sustainable"])])
    head = ["system", "requests/s", "utilisation", "p50, ms: predicted, measured, error, bar", "p99, ms"]
    picture = "![Predicted and measured latency](results/bench-twin.svg)"
    took = f"{content['elapsed_s'] / 60:.0f} minutes"
    rates = table(["system", "highest sustainable requests/s: predicted, measured, error, bar"], highest)
    return f"{picture}\n\n{table(head, rows)}\n\n{rates}\n\n{origin(content)}, {took}."


def demo() -> str:
    """What one demo measured."""
    content = result("demo")
    rows = []
    for name, found in content["systems"].items():
        metric, (value, low, high) = next(iter(found["metrics"].items()))
        drill = found["drill"]
        rows.append(
            [
                name,
                found["dataset"],
                f"{metric} {value:.4f} ({low:.4f} to {high:.4f})",
                drill["verdict"],
                f"{drill['offered_rps']:.0f}",
                f"{drill['p50_ms']:.1f} ms",
                f"{drill['p99_ms']:.1f} ms",
                str(drill["errors"]),
            ]
        )
    head = ["system", "data set", "test slice (95% interval)", "drill", "requests/s", "p50", "p99", "errors"]
    whole = f"Whole demo: {content['elapsed_s']:.0f} s after the download"
    return f"{table(head, rows)}\n\n{whole}. {origin(content)}, n = 1."


def _lost(row: Any) -> str:
    """How many requests of a drill failed, and of what."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(row["error_counts"].items()))
    return f"{row['failed']} of {row['requests']}" + (f" ({kinds})" if kinds else "")


def _disturbance(row: Any) -> list[str]:
    """p99 / max latency, and how long requests noticed."""
    return [f"{row['p99_ms']:.0f} / {row['max_ms']:.0f}", f"{row['disturbed_s']} s"]


def _times(row: Any, *keys: str) -> list[str]:
    return ["" if row.get(key) is None else f"{row[key]:.1f} s" for key in keys]


def _beside(figure: dict[str, Any], form: str, bar: float | None) -> str:
    predicted, measured = (_with_ends(figure[kind], form) for kind in ("predicted", "measured"))
    verdict = "" if bar is None else f", {held(f'{bar:.0%}', abs(figure['error']) <= bar)}"
    return f"{predicted}, {measured}, {figure['error']:+.0%}{verdict}"


def _with_ends(found: Any, form: str) -> str:
    """A median with the lowest and the highest."""
    value, low, high = (format(found[key], form) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"
