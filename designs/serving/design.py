"""Answer for many models, on machines that fail, while versions change."""

from designs.design import Design
from designs.serving import figures, interview, measured, records
from drillyard.core.load import Load
from drillyard.core.slo import DrillPlan, Slo

DESIGN = Design(
    name="serving",
    title="The serving tier",
    question="Answer for many models, on machines that fail, while versions change, without a failed request.",
    drill=DrillPlan(
        model="fraud",  # the quickest one: what it costs is the tier
        load=Load(rate_rps=500, duration_s=25),
        slo=Slo(p50_ms=10, p99_ms=50, max_error_rate=0.0),
    ),
    inputs=figures.INPUTS,
    evidence=(*measured.SERVERS, *measured.FAULTS, *measured.CLAIMS),
    estimates=figures.ESTIMATES,
    bounds=figures.BOUNDS,
    rate_key="peak_rps",
    traffic_key="peak_rps",
    replicas_key="replicas_count",
    decisions=records.DECISIONS,
    failures=records.FAILURES,
    drills=interview.DRILLS,
    rubric=interview.RUBRIC,
    questions=interview.QUESTIONS,
)
