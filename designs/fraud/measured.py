"""What was measured for the fraud design, and where its results lie."""

from designs.benchmarks import drill, faults, serve_cell, twin
from designs.evidence import Claim, FromResult, Source

_MODEL = ("pipelines/fraud/model.py", "pipelines/fraud/recipes.py::base", "pipelines/fraud/data.py::read_csv")
_PCA = ("pipelines/fraud/baselines.py::_PcaErrors", "pipelines/fraud/data.py::read_csv")
_TREES = ("pipelines/fraud/baselines.py::supervised", "pipelines/fraud/data.py::read_csv")
# The isolation forest's function itself changed after the measurement, in its sample size on tiny sets only.
_ROWS = ("pipelines/fraud/data.py::read_csv",)


def _quality(key: str, path: str, says: str, same: tuple[str, ...], *, recipe: str = "base") -> FromResult:
    return FromResult(
        key=key,
        unit="",
        says=says,
        result=f"bench-fraud-{recipe}",
        path=path,
        reduce="mean",
        command=f'make bench-fraud ARGS="--recipe {recipe}"' if recipe != "base" else "make bench-fraud",
        same=same,
    )


def _own(key: str, metric: str, says: str) -> FromResult:
    return _quality(key, f"runs/*/metrics/{metric}/0", f"{says}, mean over seeds", _MODEL)


def _baseline(key: str, name: str, metric: str, says: str, same: tuple[str, ...]) -> FromResult:
    return _quality(key, f"runs/*/baselines/{name}/{metric}/0", says, same)


QUALITY: tuple[Source, ...] = (
    _own("average_precision", "average_precision", "average precision of the base recipe"),
    _own("auc_roc", "auc_roc", "AUC-ROC of the base recipe"),
    _own("precision_at_100", "precision_at_100", "precision in the top hundred of the base recipe"),
    _own("precision", "precision", "precision at the threshold of least cost"),
    _own("recall", "recall", "recall at the threshold of least cost"),
    _own("cost_saved", "cost_saved", "share of the loss saved, reviews paid"),
    _quality(
        "average_precision_low",
        "runs/seed=0/metrics/average_precision/1",
        "average precision of the first seed: low end of the bootstrap interval",
        _MODEL,
    ),
    _quality(
        "average_precision_high",
        "runs/seed=0/metrics/average_precision/2",
        "average precision of the first seed: high end of the bootstrap interval",
        _MODEL,
    ),
    _baseline("pca_ap", "pca", "average_precision", "average precision of a PCA tuned on validation", _PCA),
    _baseline("pca_auc", "pca", "auc_roc", "AUC-ROC of the tuned PCA", _PCA),
    _baseline(
        "pca_small_ap", "pca_same_size", "average_precision", "average precision of a PCA of the code's size", _PCA
    ),
    _baseline("pca_small_auc", "pca_same_size", "auc_roc", "AUC-ROC of a PCA of the code's size", _PCA),
    _baseline("pca_small_top", "pca_same_size", "precision_at_100", "precision in its top hundred", _PCA),
    _baseline("forest_ap", "isolation_forest", "average_precision", "average precision of an isolation forest", _ROWS),
    _baseline("forest_auc", "isolation_forest", "auc_roc", "AUC-ROC of the isolation forest", _ROWS),
    _baseline("forest_top", "isolation_forest", "precision_at_100", "precision in its top hundred", _ROWS),
    _baseline(
        "supervised_ap", "supervised", "average_precision", "average precision of boosted trees with labels", _TREES
    ),
    _baseline("supervised_auc", "supervised", "auc_roc", "AUC-ROC of the boosted trees", _TREES),
    _quality(
        "unfiltered_ap",
        "runs/*/metrics/average_precision/0",
        "average precision with the past's frauds left among the training rows",
        _MODEL[:1],
        recipe="unfiltered",
    ),
    _quality(
        "unfiltered_pca_ap",
        "runs/*/baselines/pca/average_precision/0",
        "average precision of the tuned PCA with those frauds left in",
        _PCA[:1],
        recipe="unfiltered",
    ),
    _quality(
        "large_ap",
        "runs/*/metrics/average_precision/0",
        "average precision of recipe `large`",
        (_MODEL[0], "pipelines/fraud/recipes.py::large"),
        recipe="large",
    ),
    _quality(
        "single_ap",
        "runs/*/metrics/average_precision/0",
        "average precision of recipe `single`",
        (_MODEL[0], "pipelines/fraud/recipes.py::single"),
        recipe="single",
    ),
    FromResult(
        key="train_s",
        unit="s",
        says="training loop on two cores",
        result="bench-fraud-base",
        path="runs/*/train_s",
        reduce="median",
        command="make bench-fraud",
        ages=("pipelines",),
    ),
)

SERVING: tuple[Source, ...] = (
    *twin("fraud"),
    *drill("fraud"),
    serve_cell(
        "cpu_us_per_request",
        "us",
        "drillyard-2/one row/1/cpu_us_per_request",
        "CPU time of a request, proxy included: two replicas, one connection",
    ),
    serve_cell(
        "rps_at_1", "requests/s", "drillyard-2/one row/1/requests_per_s", "requests a second of that connection"
    ),
    serve_cell(
        "cpu_us_at_16",
        "us",
        "drillyard-2/one row/16/cpu_us_per_request",
        "CPU time of a request with sixteen connections, which keep both replicas busy",
    ),
    *faults(),
)

CLAIMS: tuple[Source, ...] = (
    Claim(key="features_count", unit="features", says="features of a payment"),
    Claim(key="review_fee_eur", unit="EUR", says="cost of a review"),
    Claim(key="parameters_base", unit="weights", says="weights of recipe `base`"),
    Claim(key="parameters_large", unit="weights", says="weights of recipe `large`"),
    Claim(
        key="multiply_adds_base",
        unit="MAC/row",
        says="multiply-adds a row of recipe `base`",
    ),
    Claim(
        key="multiply_adds_large",
        unit="MAC/row",
        says="multiply-adds a row of recipe `large`",
    ),
    Claim(key="graph_bytes", unit="B", says="weights and constants in the exported base graph"),
    Claim(
        key="request_json_bytes",
        unit="B",
        says="body of a one-row request as JSON",
    ),
    Claim(key="row_binary_bytes", unit="B", says="the same row as raw FP32"),
    Claim(
        key="batch_speedup",
        unit="",
        says="rows that ONNX Runtime answers in the same CPU time in batches of sixty-four, over single rows",
        tolerance=3.0,
    ),
    Claim(
        key="large_cost",
        unit="",
        says="CPU time of a batch of sixty-four in recipe `large` over `base`",
        tolerance=2.5,
    ),
)
