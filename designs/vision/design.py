"""Classify a picture that somebody has just uploaded."""

from designs.design import Design
from designs.vision import figures, interview, measured, records
from drillyard.core.load import Load
from drillyard.core.slo import DrillPlan, Slo

DESIGN = Design(
    name="vision",
    title="Image classification",
    question="Name what is on an uploaded picture before the page has finished loading.",
    drill=DrillPlan(
        model="vision",
        load=Load(rate_rps=100, duration_s=30),
        # Below 100 ms an answer feels immediate (Nielsen 1993).
        slo=Slo(p50_ms=25, p99_ms=100, max_error_rate=0.001),
    ),
    inputs=figures.INPUTS,
    evidence=(*measured.QUALITY, *measured.TRAINING, *measured.SERVING, *measured.CLAIMS),
    estimates=figures.ESTIMATES,
    bounds=figures.BOUNDS,
    rate_key="peak_rps",
    traffic_key="uploads_per_day",
    replicas_key="replicas_count",
    decisions=records.DECISIONS,
    failures=records.FAILURES,
    drills=interview.DRILLS,
    rubric=interview.RUBRIC,
    questions=interview.QUESTIONS,
)
