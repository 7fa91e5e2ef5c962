"""Score a card transaction while the customer waits."""

from designs.design import Design
from designs.fraud import figures, interview, measured, records
from drillyard.core.load import Load
from drillyard.core.slo import DrillPlan, Slo

DESIGN = Design(
    name="fraud",
    title="Fraud scoring",
    question="Score every card payment for fraud in the time that an authorisation leaves; labels are weeks late.",
    drill=DrillPlan(
        model="fraud",
        load=Load(rate_rps=300, duration_s=30),
        # An authorisation takes some 100 ms end to end; the score may use half of it once in a hundred times.
        slo=Slo(p50_ms=10, p99_ms=50, max_error_rate=0.001),
    ),
    inputs=figures.INPUTS,
    evidence=(*measured.QUALITY, *measured.SERVING, *measured.CLAIMS),
    estimates=figures.ESTIMATES,
    bounds=figures.BOUNDS,
    rate_key="peak_rps",
    traffic_key="cards_count",
    replicas_key="replicas_count",
    decisions=records.DECISIONS,
    failures=records.FAILURES,
    drills=interview.DRILLS,
    rubric=interview.RUBRIC,
    questions=interview.QUESTIONS,
)
