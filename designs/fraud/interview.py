"""What an interviewer asks of the fraud design, and what a proposed configuration is put through."""

from designs.records import Drilled, Question, RubricFigure

RUBRIC = (
    RubricFigure(
        key="peak_rps",
        asks="How many requests a second come at the peak?",
        within_factor=2.0,
        hint="Payments a day over the seconds of a day, times what the busiest second has over the mean one.",
    ),
    RubricFigure(
        key="replicas_count",
        asks="How many replicas of one core does that take, with one zone lost at the peak?",
        within_factor=3.0,
        hint="CPU time a request times rate is busy cores; plan for a utilisation; then add the zone that may be lost.",
    ),
    RubricFigure(
        key="log_tb_kept",
        asks="How much is kept until the labels are in?",
        within_factor=3.0,
        hint=(
            "A row is its features in four bytes each and some words about the answer. Keep it as long as labels take."
        ),
    ),
    RubricFigure(
        key="analysts_count",
        asks="How many analysts would it take to review all that is flagged?",
        within_factor=3.0,
        hint="Frauds a day times recall over precision. The answer should make you propose something else.",
    ),
    RubricFigure(
        key="recall_error_ratio",
        asks="How well is the recall known from the test slice?",
        within_factor=1.5,
        hint="A share of so few frauds has the standard error of a coin thrown as often.",
    ),
    RubricFigure(
        key="saved_eur_day",
        asks="What does the score save in a day?",
        within_factor=3.0,
        hint="Frauds a day times their mean amount, times the share of the loss that is saved.",
    ),
)

QUESTIONS = (
    Question(
        topic="Metric",
        asks="The AUC-ROC of a model is {forest_auc|.3f}. Would you ship it?",
        answer=(
            "Not on that figure. It is the isolation forest's, whose average precision is {forest_ap|.3f} and whose "
            "top hundred hold {forest_top*100|.0f}% frauds. AUC-ROC asks how often a fraud ranks above a good "
            "payment, and with {test_fraud_ratio*100|.2f}% frauds nearly all of those pairs are easy. Reviewers see "
            "the top only. Average precision starts at {test_fraud_ratio|.4f} for a guess, and falls with each false "
            "alarm that stands above a fraud."
        ),
        probes=(
            "When would AUC-ROC be the right one?",
            "Why is PCA of the code's size better by AUC-ROC and worse by average precision?",
        ),
    ),
    Question(
        topic="Metric",
        asks="Recall or precision?",
        answer=(
            "Neither by itself: money. A missed fraud costs its amount, a review {review_fee_eur} EUR, so a flag "
            "pays when the chance of fraud times the amount exceeds the fee. The threshold of least cost has "
            "precision {precision|.2f} and recall {recall|.2f} here and saves {cost_saved*100|.0f}% of the loss. A "
            "false alarm also costs a customer who is refused at a till, which the fee leaves out; raise it and the "
            "threshold moves."
        ),
        probes=("How would you find the price of a refused customer?", "Should the threshold depend on the amount?"),
    ),
    Question(
        topic="Statistics",
        asks="A colleague's model has an average precision three points above yours on this test slice. Do you switch?",
        answer=(
            "Not for that. There are {test_frauds_count} frauds; the bootstrap interval of one seed goes from "
            "{average_precision_low|.2f} to {average_precision_high|.2f}. Compare both on the same rows: the "
            "difference of paired resamples has a far narrower interval, and that is what the gate of the registry "
            "uses. Seeds say nothing here ({average_precision.low|.3f} to {average_precision.high|.3f}); the sample "
            "does."
        ),
        probes=("What would you do if the intervals of the difference included zero, but the new model were cheaper?",),
    ),
    Question(
        topic="Data",
        asks="How can a split leak here?",
        answer=(
            "By time: with a random split the model has seen the same hour, often the same card. By duplicates: "
            "equal rows on both sides. By fitting scalers or a PCA on everything: V1 to V28 of this set are "
            "themselves a PCA that was fitted on all rows, frauds included, which is why one direction of least "
            "variance among good rows finds frauds so well. By choosing on the test slice: the base recipe was "
            "preferred after one test figure of the large one had been seen, so its figures are not strictly blind."
        ),
        probes=("How would you notice a leak that nobody told you of?",),
    ),
    Question(
        topic="Data",
        asks="Labels come after {label_delay_days} days. What do you watch until then?",
        answer=(
            "The score's distribution against that of the validation slice, the share that is flagged, what "
            "reviewers decide (a label within hours, but only of what was flagged), and rules that fire beside the "
            "model. Inputs explain a change of the score; by themselves they cry wolf. Let a small random share of "
            "payments pass the threshold to reviewers anyway, or the next model is trained on what this one flagged."
        ),
        probes=("What is wrong with training on reviewed payments only?",),
    ),
    Question(
        topic="Model",
        asks="Your autoencoders are as good as a projection. Why keep them?",
        answer=(
            "By average precision they reach {pca_ratio|.2f} of a PCA whose component count was tuned on labels, and "
            "the bar of {asked_lead_ratio} was missed. The projection is one direction of one data set: with as many "
            "components as the code has units PCA gets {pca_small_ap|.3f}. The network has AUC-ROC {auc_roc|.3f} "
            "against {pca_auc|.3f} and gives reasons. If neither mattered to you, ship the projection: it is a "
            "matrix."
        ),
        probes=("What would make you throw the network away?",),
    ),
    Question(
        topic="Serving",
        asks="Where does the time of a request go, and what would you speed up?",
        answer=(
            "The network takes {multiply_adds_base} multiply-adds, some microseconds; a request costs "
            "{cpu_us_per_request|.0f} us of CPU. The rest is HTTP, JSON, the proxy and the serving framework. A "
            "smaller model saves nothing that can be seen. Several rows a request do: ONNX Runtime alone handles "
            "{batch_speedup|.1f} times as many rows a second in batches of sixty-four. A payment comes alone, "
            "though, so batching suits the re-scoring of history and not the till."
        ),
        probes=("What does dynamic batching cost at low load?", "Which part would gRPC save?"),
    ),
    Question(
        topic="Capacity",
        asks="Traffic grows to `50,000` requests a second. What changes?",
        answer=(
            "Try `drillyard design what-if fraud --rps 50000 --replicas 20`. With so many replicas utilisation "
            "passes what was planned, and a lost zone asks for more than there is. The number of replicas grows with "
            "the rate; the model does not change. What changes is around it: log volume, the feature store's reads, "
            "the reviewers."
        ),
        probes=("Which part breaks first?",),
    ),
    Question(
        topic="Operations",
        asks="A new model is ready on Friday. How does it go out?",
        answer=(
            "Parity of the exported file, the gate against the champion on the same test slice, then a shadow that "
            "answers nobody, then a canary by request id, so that a retry meets the same version. A sequential test "
            "ends the trial when failures, slowness or disagreement pass their limit; looking every second does not "
            "spoil it. Rolling back is an alias and one `drillyard serve sync`. In the measured change of version "
            "{version_failed_count} requests failed."
        ),
        probes=("What can a shadow not tell you about a fraud model?", "Why by id and not by chance?"),
    ),
    Question(
        topic="Failure",
        asks="The scoring service is down. What does the till do?",
        answer=(
            "It has a deadline and a fallback that was decided beforehand: rules on the amount and the country, "
            "accept small payments, refuse the rest or ask for a second factor. Count what was decided that way, and "
            "score it afterwards. Refusing all is an outage of the shop; accepting all is an invitation."
        ),
        probes=("Who decides the amount below which it accepts?",),
    ),
)

DRILLS = (
    Drilled(drill="steady", finds_out="whether the promise holds at the design's own load"),
    Drilled(drill="spike", finds_out="whether a sale's first minute is refused early or queued for ever"),
    Drilled(drill="replay", finds_out="whether real arrivals of payments, burstier than any formula, are served"),
    Drilled(drill="drift", finds_out="whether anybody would notice inputs from elsewhere"),
    Drilled(drill="worse-version", finds_out="whether a bad model is taken back before it has cost much"),
    Drilled(drill="kill-replica", finds_out="whether anybody notices that a process died"),
    Drilled(drill="freeze-replica", finds_out="how long the requests wait that a stuck replica holds"),
    Drilled(drill="new-version", finds_out="whether a change of model costs a request"),
    Drilled(drill="kill-haproxy", finds_out="what one proxy a node is worth"),
    Drilled(drill="registry-gone", finds_out="whether serving needs anything but itself"),
)
