"""Areas from one sort equal scikit-learn's, ties and all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from pipelines.ranking import areas


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=60).filter(
        lambda rows: len({truth for _, truth in rows}) == 2
    )
)
def test_areas_equal_the_reference_also_with_ties(rows: list[tuple[int, bool]]) -> None:
    score = np.array([score for score, _ in rows], dtype=np.float32)
    truth = np.array([truth for _, truth in rows])
    average_precision, auc = areas(score, truth)
    assert average_precision == pytest.approx(average_precision_score(truth, score))
    assert auc == pytest.approx(roc_auc_score(truth, score))
