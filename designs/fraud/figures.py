"""What the fraud design starts from, and what follows by arithmetic."""

from designs import replicated
from designs.figures import Bound, Estimate, Input

INPUTS = (
    Input(
        key="cards_count",
        value=200e6,
        unit="cards",
        says="cards of an international issuer",
        source="assumed: a large issuer or processor",
    ),
    Input(
        key="payments_per_card_day",
        value=1.0,
        unit="payments/card/day",
        says="payments with a card on a mean day",
        source="assumed: many cards pay twice a day, many never",
    ),
    Input(
        key="peak_over_mean_ratio",
        value=4.0,
        unit="",
        says="busiest second of the year over the mean one",
        source="assumed: evening, times a sale before a holiday",
    ),
    replicated.SECONDS_PER_DAY,
    replicated.HOURS_PER_MONTH,
    Input(
        key="authorisation_ms",
        value=100,
        unit="ms",
        says="time of the whole authorisation, p99",
        source="assumed: what is left of a card scheme's seconds after networks and the bank's own checks",
    ),
    Input(
        key="score_share_ratio",
        value=0.5,
        unit="",
        says="share of it that the score may take",
        source="chosen: the other half is for features, rules and the ledger",
    ),
    Input(
        key="fraud_ratio",
        value=0.001,
        unit="",
        says="share of payments that are frauds",
        source="assumed: the order of magnitude of the ULB set, which has 473 in 283,726",
    ),
    Input(
        key="fraud_amount_eur",
        value=100,
        unit="EUR",
        says="mean amount of a fraud",
        source="assumed: the order of magnitude of the ULB set",
    ),
    Input(
        key="label_delay_days",
        value=60,
        unit="days",
        says="until most chargebacks are in",
        source="assumed: holders read a monthly statement, and may dispute for months",
    ),
    Input(
        key="reviews_per_analyst_day",
        value=100,
        unit="reviews/analyst/day",
        says="cases that an analyst decides in a day",
        source="assumed: five minutes each",
    ),
    Input(
        key="log_overhead_bytes",
        value=60,
        unit="B",
        says="score, decision, version and id beside a logged row",
        source="chosen: what drift, audits and the next training need",
    ),
    *replicated.OPTIONS,
    Input(
        key="asked_lead_ratio",
        value=1.3,
        unit="",
        says="average precision over a tuned PCA's that was asked of the model",
        source="chosen: the bar set before anything was measured",
    ),
    Input(key="test_frauds_count", value=74, unit="frauds", says="frauds in the test slice", source="docs/data.md"),
    Input(key="test_rows_count", value=56746, unit="rows", says="rows of the test slice", source="docs/data.md"),
    Input(
        key="validation_frauds_count",
        value=57,
        unit="frauds",
        says="frauds in the validation slice",
        source="docs/data.md",
    ),
    Input(
        key="train_frauds_count",
        value=342,
        unit="frauds",
        says="frauds in the training slice, taken out before training",
        source="docs/data.md",
    ),
    Input(key="train_rows_count", value=170235, unit="rows", says="rows of the training slice", source="docs/data.md"),
)

ESTIMATES = (
    Estimate(
        key="payments_per_day",
        unit="payments/day",
        formula="cards_count * payments_per_card_day",
        says="payments on a mean day",
    ),
    Estimate(
        key="mean_rps", unit="requests/s", formula="payments_per_day / seconds_per_day", says="mean rate of requests"
    ),
    Estimate(
        key="peak_rps", unit="requests/s", formula="mean_rps * peak_over_mean_ratio", says="rate in the busiest second"
    ),
    Estimate(
        key="score_budget_ms",
        unit="ms",
        formula="authorisation_ms * score_share_ratio",
        says="time that the score may take, p99",
    ),
    *replicated.capacity(),
    replicated.COST,
    Estimate(
        key="payload_mbit_s",
        unit="Mbit/s",
        formula="peak_rps * request_json_bytes * 8 / 1e6",
        says="bodies on the wire at peak, as JSON",
    ),
    Estimate(
        key="log_gb_day",
        unit="GB/day",
        formula="payments_per_day * (row_binary_bytes + log_overhead_bytes) / 1e9",
        says="scored rows kept a day",
    ),
    Estimate(
        key="log_tb_kept",
        unit="TB",
        formula="log_gb_day * label_delay_days / 1000",
        says="rows that wait for their labels",
    ),
    Estimate(
        key="frauds_per_day",
        unit="frauds/day",
        formula="payments_per_day * fraud_ratio",
        says="frauds that are tried a day",
    ),
    Estimate(
        key="flagged_per_day",
        unit="reviews/day",
        formula="frauds_per_day * recall / precision",
        says="payments flagged a day, at the measured precision and recall",
    ),
    Estimate(
        key="false_alarms_per_day",
        unit="payments/day",
        formula="flagged_per_day * (1 - precision)",
        says="good payments among them: customers who wait, or are refused",
    ),
    Estimate(
        key="analysts_count",
        unit="analysts",
        formula="flagged_per_day / reviews_per_analyst_day",
        says="analysts, if people reviewed each of them",
    ),
    Estimate(
        key="loss_eur_day",
        unit="EUR/day",
        formula="frauds_per_day * fraud_amount_eur",
        says="loss a day without any system",
    ),
    Estimate(
        key="saved_eur_day",
        unit="EUR/day",
        formula="loss_eur_day * cost_saved",
        says="saved a day, at the share measured on the test slice",
    ),
    Estimate(
        key="test_fraud_ratio",
        unit="",
        formula="test_frauds_count / test_rows_count",
        says="share of frauds in the test slice: the average precision of guessing",
    ),
    Estimate(
        key="recall_error_ratio",
        unit="",
        formula="sqrt(recall * (1 - recall) / test_frauds_count)",
        says="standard error of the recall, from the number of frauds alone",
    ),
    Estimate(
        key="pca_ratio",
        unit="",
        formula="average_precision / pca_ap",
        says="average precision over that of the tuned PCA",
    ),
    Estimate(
        key="pca_small_ratio",
        unit="",
        formula="average_precision / pca_small_ap",
        says="average precision over that of a PCA of the code's size",
    ),
    Estimate(
        key="supervised_ratio",
        unit="",
        formula="average_precision / supervised_ap",
        says="average precision over that of the supervised trees",
    ),
    Estimate(
        key="pca_bar",
        unit="",
        formula="pca_ap * asked_lead_ratio",
        says="average precision that the lead asked for would need",
    ),
)

BOUNDS = (
    *replicated.bounds("requests"),
    Bound(key="score_budget_ms", at_least=50, says="the promise of the drill is longer than the score may take"),
)
