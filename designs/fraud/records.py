"""What the fraud design decided, and how it fails."""

from designs.records import Decision, DrillCheck, FailureMode, FigureCheck, Option, TestCheck

DECISIONS = (
    Decision(
        key="model",
        title="Eight small autoencoders, though a projection ranks as well",
        context=(
            "Labels come {label_delay_days} days late and frauds change within days. A model that knows only good "
            "payments needs no fraud to be trained. The question is what it may cost over something simpler."
        ),
        options=(
            Option(
                name="Denoising autoencoders, residual whitened",
                says=(
                    "average precision {average_precision|.3f} and AUC-ROC {auc_roc|.3f} at once, steady over seeds; "
                    "{multiply_adds_base} multiply-adds a row, and each feature's share of the score for the "
                    "reviewer."
                ),
            ),
            Option(
                name="PCA with the number of components tuned on labels",
                says=(
                    "{pca_ap|.3f} and {pca_auc|.3f}. It ranks the top as well, and costs next to nothing. Which "
                    "component count works is known only from labelled frauds, and far from the top it ranks worst."
                ),
            ),
            Option(
                name="PCA of the same code size",
                says="{pca_small_ap|.3f} and {pca_small_auc|.3f}: fine over the whole range, poor where money is.",
            ),
            Option(name="Isolation forest", says="{forest_ap|.3f} and {forest_auc|.3f}: the same picture, worse."),
            Option(
                name="Boosted trees on labels",
                says=(
                    "{supervised_ap|.3f} and {supervised_auc|.3f}. Best on both, with the labels of the past; it "
                    "learns the frauds that were, and needs the delay to be lived with."
                ),
            ),
        ),
        decision=(
            "The autoencoders. The bar was {asked_lead_ratio} times the tuned PCA; they reach {pca_ratio|.2f} of it, "
            "so the bar is missed: it would take {pca_bar|.2f}, more than the supervised trees have. What they bring "
            "over PCA is the rest of the range and a reason for each decision. Only their weights see no fraud: their "
            "size was chosen on labelled validation frauds, as the PCA's was. With labels at hand, boosted trees "
            "beside them are the next thing to build."
        ),
        confirmed_by=FigureCheck(key="auc_roc", at_least="pca_auc"),
    ),
    Decision(
        key="clean-history",
        title="Known frauds are taken out of the training rows",
        context=(
            "An anomaly detector learns what is common. The training slice has {train_frauds_count} frauds in "
            "{train_rows_count} rows, few enough to be left in without a thought."
        ),
        options=(
            Option(
                name="Take them out", says="average precision {average_precision|.3f}. Costs the labels of the past."
            ),
            Option(
                name="Leave them in",
                says=(
                    "{unfiltered_ap|.3f}, between {unfiltered_ap.low|.3f} and {unfiltered_ap.high|.3f} over seeds; "
                    "the tuned PCA falls to {unfiltered_pca_ap|.3f}. This is what a team without clean history gets."
                ),
            ),
        ),
        decision=(
            "They are taken out. So the model is not free of labels: it needs them for yesterday's rows, not for "
            "today's. Whoever calls it unsupervised in an interview should say that."
        ),
        confirmed_by=FigureCheck(key="average_precision", at_least="unfiltered_ap"),
    ),
    Decision(
        key="threshold",
        title="The threshold is where money is lost least",
        context=(
            "Whoever is asked for a threshold wants to know what an error costs. A missed fraud costs its amount, a "
            "review {review_fee_eur} EUR."
        ),
        options=(
            Option(
                name="Least cost on the validation slice",
                says=(
                    "precision {precision|.2f}, recall {recall|.2f} and {cost_saved*100|.0f}% of the loss saved on "
                    "the test slice. With {validation_frauds_count} frauds to choose on, a few dear ones decide."
                ),
            ),
            Option(name="Best F1", says="weighs a fraud of a thousand like one of a few, and reviews not at all."),
            Option(name="A fixed share of payments", says="keeps the reviewers' day full, whatever is going on."),
        ),
        decision=(
            "Least cost. It lies inside the exported graph, so that serving cannot have another one, and is chosen "
            "anew for each version."
        ),
        confirmed_by=TestCheck(name="tests/pipelines/test_fraud.py::test_no_other_threshold_costs_less"),
    ),
    Decision(
        key="split",
        title="Split by time, duplicates out first",
        context=(
            "Payments of one day resemble each other. A random split lets the model see tomorrow, and equal rows "
            "land on both sides."
        ),
        options=(
            Option(
                name="By time",
                says="the future never informs the past. Drift shows in the test slice, as it will live.",
            ),
            Option(name="At random, stratified", says="smoother figures, of a system that nobody will run."),
        ),
        decision=(
            "By time. The price is a test slice with {test_frauds_count} frauds, and intervals as wide as they are."
        ),
        confirmed_by=TestCheck(name="tests/pipelines/test_fraud.py::test_split_is_by_time_and_the_loop_sees_no_fraud"),
    ),
    Decision(
        key="retraining",
        title="The threshold follows the reviews, the weights follow the labels",
        context=(
            "Frauds change within days, and labels come {label_delay_days} days late. A model that is trained on rows "
            "whose labels are not in yet takes their frauds for good payments."
        ),
        options=(
            Option(
                name="Weights weekly on rows older than the delay, the threshold daily on reviewed flags",
                says="two clocks: what reviewers decide is known in hours and moves the threshold, frauds wait.",
            ),
            Option(
                name="Everything daily on the newest rows", says="{unfiltered_ap|.3f} is what unlabelled frauds cost."
            ),
            Option(name="When an alert fires", says="drift tells that something changed, and not that training helps."),
        ),
        decision=(
            "Two clocks, and the gate before each version. An alert on the score's drift brings a look at the "
            "features first: a broken one is mended, not learnt."
        ),
        confirmed_by=FigureCheck(key="average_precision", at_least="unfiltered_ap"),
    ),
    Decision(
        key="redundancy",
        title="Redundancy sets the number of replicas, not the model",
        context=(
            "At the peak of {peak_rps} requests a second the replicas are busy with {peak_cores|.1f} cores. A "
            "payment that gets no score is a payment that is refused or waved through."
        ),
        options=(
            Option(
                name="Three zones, any two of which carry the peak",
                says=(
                    "{replicas_count} replicas, busy to {utilisation_ratio*100|.0f}%, and to "
                    "{utilisation_zone_lost_ratio*100|.0f}% with a zone lost. {serving_eur_month} EUR a month."
                ),
            ),
            Option(name="One zone", says="fewer replicas, and no scores on the day on which the zone is lost."),
        ),
        decision=(
            "Three zones. Their price is nothing beside the {saved_eur_day} EUR that the score saves in a day; a "
            "smaller model would save a part of the smallest item."
        ),
        confirmed_by=DrillCheck(name="kill-replica"),
    ),
)

FAILURES = (
    FailureMode(
        name="A replica dies",
        effect="The requests that it has are cut off.",
        seen_by=("drillyard_proxy_retries_total", "drillyard_requests_in_flight"),
        limited_by="HAProxy gives them to another replica, which is safe since a score changes nothing.",
        drill="kill-replica",
        result=(
            "{kill_failed_count} of {faults_requests_count} requests failed, the slowest took {kill_max_ms} ms, and "
            "the replica was replaced after {kill_whole_s} s."
        ),
    ),
    FailureMode(
        name="A replica freezes",
        effect="It holds its requests and answers nothing. This is harder than a death, since nothing breaks.",
        seen_by=("drillyard_proxy_retries_total", "drillyard_request_duration_seconds"),
        limited_by="Two missed health checks take it out, and what it held is asked elsewhere after a time limit.",
        drill="freeze-replica",
        result=(
            "{freeze_failed_count} failed, but the slowest answer took {freeze_max_ms} ms: far beyond the promise "
            "for the few that it held."
        ),
    ),
    FailureMode(
        name="A new version arrives",
        effect="A reload that takes a replica out loses capacity, and requests with it.",
        seen_by=("drillyard_lifecycle_events_total",),
        limited_by="It is loaded and proven beside the old one; a replica turns to it between two requests.",
        drill="new-version",
        result="{version_failed_count} failed, the slowest answer took {version_max_ms} ms.",
    ),
    FailureMode(
        name="The only proxy of a node dies",
        effect="Every connection of the node breaks.",
        seen_by=("drillyard_proxy_responses_total",),
        limited_by=(
            "The node's supervisor lets another stand in at once. Against the death of the node itself: several behind "
            "an address that follows health checks."
        ),
        drill="kill-haproxy",
        result=(
            "{proxy_failed_count} of {faults_requests_count} failed, and it took {proxy_whole_s|.2f} s until another "
            "stood in."
        ),
    ),
    FailureMode(
        name="The registry is gone",
        effect="No new version can be loaded.",
        seen_by=("drillyard_lifecycle_events_total",),
        limited_by="No request asks the registry. What is served goes on.",
        drill="registry-gone",
        result="{registry_failed_count} of {registry_requests_count} failed in a minute without it.",
    ),
    FailureMode(
        name="Payments drift",
        effect=(
            "The score's distribution moves, and with it the number of reviews. Accuracy is unknown until labels come."
        ),
        seen_by=("drillyard_score_drift_psi", "drillyard_input_drift_psi"),
        limited_by=(
            "Score first, inputs to explain it; a new threshold when reviews run full, a new model when labels are in."
        ),
        drill="drift",
        result=(
            "On this data set the inputs of the test slice have drifted far by any rule of thumb, and the score has "
            "not. An alert on inputs alone would have been false."
        ),
    ),
)
