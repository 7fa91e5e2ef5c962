"""Tables in the documentation that are made from measured results; run by cog (`make format`)."""

import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from tables import table

RESULTS = Path(__file__).parent / "results"


def seeds(name: str, metric: str) -> str:
    """One line a seed of a model benchmark, baselines beside."""
    content = _result(name)
    baselines = [key for key, values in content["runs"][0]["baselines"].items() if metric in values]
    rows = [
        [
            str(run["seed"]),
            f"{run['metrics'][metric][0]:.3f} ({run['metrics'][metric][1]:.3f} to {run['metrics'][metric][2]:.3f})",
            *(f"{run['baselines'][key][metric][0]:.3f}" for key in baselines),
            f"{run['train_s']:.0f}",
        ]
        for run in content["runs"]
    ]
    values = [run["metrics"][metric][0] for run in content["runs"]]
    spread = f" (sd {stdev(values):.4f})" if len(values) > 1 else ""
    means = [mean(run["baselines"][key][metric][0] for run in content["runs"]) for key in baselines]
    ratios = [f"{value:.3f}; we are {mean(values) / value:.2f} times that" for value in means]
    rows.append(["mean", f"{mean(values):.3f}{spread}", *ratios, ""])
    head = ["seed", f"{metric} (95% interval)", *baselines, "training loop, s"]
    trained_on = f"recipe `{content['recipe']}` on {content['runs'][0]['device']}"
    return f"{table(head, rows)}\n\n{_origin(content)}, {trained_on}, n = {len(values)}."


def training_ratios() -> str:
    """Ray Train against torchrun and against a naive loop."""
    content = _result("bench-train-base")
    rates = content["images_per_s"]
    rows = _ratios(content)
    medians = ", ".join(f"{name} {median(values):,.0f}" for name, values in rates.items())
    return (
        table(["ratio of images/s", "median", "lowest to highest round", "rounds", "bar"], rows)
        + f"\n\nMedian images/s: {medians}. {_origin(content)}."
    )


def serving() -> str:
    """This project's server against others."""
    from serving.bench import report

    content = _result("bench-serve")
    parts = [f"**{title}**\n\n{table(head, lines)}" for title, head, lines in report.tables(content)]
    took = f"{content['options']['rounds']} rounds, {content['elapsed_s'] / 60:.0f} minutes"
    picture = "![Requests a second and p99 latency of each server](results/bench-serve.svg)"
    return "\n\n".join([picture, *parts, f"{_origin(content)}, {took}."])


def drill_results() -> str:
    """What each drill of the catalogue measured, where it has been run."""
    from loadtests.catalogue.drills import CATALOGUE

    files = sorted(RESULTS.glob("drills-*.json"))
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
    origins = "; ".join(sorted({_origin(row) for row in found}))
    return f"{table(head, rows)}\n\n{origins}. Promise and hypothesis are judged apart (see above)."


def proxies() -> str:
    """Large bodies over HAProxy and over Serve's Python proxy."""
    from serving.bench import report

    content = _result("bench-proxies")
    _, head, lines = report.proxies(content)
    return f"{table(head, lines)}\n\n{_origin(content)}, {content['options']['image_rounds']} rounds."


def autoscaling() -> str:
    """How fast replicas followed a step of the load, and what it cost the requests."""
    content = _result("bench-autoscale")
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
    return f"{table(head, rows)}\n\n{_origin(content)}"


def when_measured(name: str, made: Callable[[], str]) -> str:
    """The table of a result that not every release measures, or that there is none."""
    return made() if (RESULTS / f"{name}.json").exists() else "Not measured yet."


def prediction() -> str:
    """Batch prediction against onnxruntime in process, and what each size took."""
    content = _result("bench-predict")
    compared = _ratios(content)
    medians = ", ".join(
        f"{name.replace('_', ' ')} {median(rates):,.0f}" for name, rates in content["rows_per_s"].items()
    )
    sizes = []
    for size in content["sizes"]:
        rate, took = (f"{median(run[key] for run in size['runs']):,.0f}" for key in ("rows_per_s", "elapsed_s"))
        memory = _mib(max(run["peak_rss_bytes"] for run in size["runs"]))
        sizes.append([f"{size['times']}x: {size['rows']:,}", str(len(size["runs"])), rate, took, memory])
    head = ["ratio of rows/s", "median", "lowest to highest round", "rounds", "bar"]
    by_size = ["rows", "runs", "rows/s, median", "whole time, s", "peak memory"]
    words = f"Median rows/s: {medians}, {content['threads']} threads. {_origin(content)}."
    return f"{table(head, compared)}\n\n{words}\n\n{table(by_size, sizes)}"


def streaming() -> str:
    """Training from files: memory and object store at 1x and 10x."""
    content = _result("bench-predict")
    rows = [
        [
            f"{row['times']}x: {row['rows']:,}",
            _mib(row["data_bytes"]),
            f"{_mib(row['store_peak_bytes'])} of {_mib(row['store_bytes'])}",
            _mib(row["spilled_bytes"]),
            _mib(row["peak_rss_bytes"]),
            f"{row['rows_per_s']:,.0f}",
        ]
        for row in content["streaming"]
    ]
    head = ["training rows", "of", "object store at the peak", "spilled to disk", "peak memory", "rows/s"]
    return f"{table(head, rows)}\n\n{_origin(content)}, n = 1."


def _mib(size_bytes: float) -> str:
    return f"{size_bytes / 2**20:,.0f} MiB"


def faults() -> str:
    """What each fault cost, from the measured results."""
    content = _result("bench-faults")
    rows = []
    for row in content["faults"]:
        latency = f"{row['p99_ms']:.0f} / {row['max_ms']:.0f}"
        times = [_seconds(row.get(key)) for key in ("detected_after_s", "recovered_after_s", "whole_again_s")]
        rows.append([row["purpose"], _lost(row), str(row["wrong_answers"]), latency, f"{row['disturbed_s']} s", *times])
    head = ["fault", "failed requests", "wrong answers", "p99 / max, ms", "disturbed"]
    head += ["noticed after", "recovered after", "whole again after"]
    return f"{table(head, rows)}\n\n{content['rate_rps']:.0f} requests/s. {_origin(content)}"


def nodes() -> str:
    """What the loss of a node cost requests, and training, from the measured results."""
    content = _result("bench-nodes")
    rows = []
    for row in content["serving"]:
        again = f"{row['replicas_placed_again']} of {row['replicas']}"
        times = [_seconds(row.get(key)) for key in ("whole_again_s", "recovered_after_s")]
        latency = f"{row['p99_ms']:.0f} / {row['max_ms']:.0f}"
        rows.append([row["purpose"], _lost(row), latency, f"{row['disturbed_s']} s", again, *times])
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
    return f"{served}\n\n{trained}\n\n{load}. {_origin(content)}"


def selftest() -> str:
    """The load generator and its recorder held against what is known."""
    content = _result("drill-selftest")
    rows = [
        [each["name"], each["bar"], each["measured"], "yes" if each["held"] else "NO"] for each in content["checks"]
    ]
    return f"{table(['check', 'bar', 'measured', 'held'], rows)}\n\n{_origin(content)}"


def issue_results() -> str:
    """Both sides of each issue, from the measured results."""
    content = _result("bench-issues")
    rows = []
    for issue in content["issues"]:
        for place, figure in enumerate(issue["figures"]):
            cells = ["" if figure[side] is None else f"{figure[side]:,.2f}" for side in ("broken", "fixed")]
            head = [f"`{issue['issue']}`", issue["verdict"]] if place == 0 else ["", ""]
            rows.append([*head, figure["words"], *cells])
    return f"{table(['issue', 'verdict', 'figure', 'broken', 'mended'], rows)}\n\n{_origin(content)}"


def _ratios(content: Any) -> list[list[str]]:
    """Each ratio with its spread over the rounds, and its bar if it has one."""
    return [
        [
            *(name.replace("_", " "), f"{found['median']:.2f}", f"{found['low']:.2f} to {found['high']:.2f}"),
            *(str(found["n"]), str(found["bar"] or "")),
        ]
        for name, found in content["ratios"].items()
    ]


def _lost(row: Any) -> str:
    """How many requests of a drill failed, and of what."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(row["error_counts"].items()))
    return f"{row['failed']} of {row['requests']}" + (f" ({kinds})" if kinds else "")


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"


def overload() -> str:
    """Goodput at and beyond capacity, from the measured results."""
    content = _result("bench-overload")
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
    return f"{table(head, rows)}\n\nMedians over the rounds: {bars}. {_origin(content)}"


def twin() -> str:
    """Predicted against measured on loads that the twin was not calibrated on; a note while there is no result."""
    if not (RESULTS / "bench-twin.json").exists():
        return "Not measured yet on this checkout: `make bench-twin`."
    content = _result("bench-twin")
    rows, highest = [], []
    for name, system in content["systems"].items():
        for row in sorted(system["rows"], key=lambda row: row["load"]["rate_rps"]):
            load = f"{row['load']['rate_rps']:.0f} {row['load']['shape']['kind']}"
            cells = [_beside(row[field], ".2f") for field in ("p50_ms", "p99_ms")]
            rows.append([name, load, f"{row['utilisation']:.0%} {row['bottleneck']}", *cells])
        highest.append([name, _beside(system["sustainable"], ",.0f")])
    head = ["system", "requests/s", "utilisation", "p50, ms: predicted, measured, error", "p99, ms"]
    picture = "![Predicted and measured latency](results/bench-twin.svg)"
    took = f"{content['elapsed_s'] / 60:.0f} minutes"
    rates = table(["system", "highest sustainable requests/s: predicted, measured, error"], highest)
    return f"{picture}\n\n{table(head, rows)}\n\n{rates}\n\n{_origin(content)}, {took}."


def _beside(figure: dict[str, Any], form: str) -> str:
    predicted, measured = (_with_ends(figure[kind], form) for kind in ("predicted", "measured"))
    return f"{predicted}, {measured}, {figure['error']:+.0%}"


def _with_ends(found: Any, form: str) -> str:
    """A figure, or a median with the lowest and the highest."""
    if not isinstance(found, dict):
        return format(found, form)
    value, low, high = (format(found[key], form) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def demo() -> str:
    """What one demo measured."""
    content = _result("demo")
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
    return f"{table(head, rows)}\n\n{whole}. {_origin(content)}, n = 1."


def _result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def _origin(content: dict[str, Any]) -> str:
    return f"Commit `{content['commit']}`, {content['machine']}"
