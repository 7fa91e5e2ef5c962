"""int8 static quantisation of an exported graph, with the price and the gain measured."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from pipelines.graph import predictor
from pipelines.system import Arrays

CALIBRATION_ROWS = 512
MAX_LOSS = 0.005  # of the primary metric on validation; more, and the graph is not registered
_COSTLY_OPERATORS = ["Conv", "Gemm", "MatMul"]  # pre- and post-processing stay exact


@dataclass(frozen=True, kw_only=True)
class SpeedRatio:
    """Time of one graph over another's, alternating rounds in one process, one thread."""

    batch: int
    median: float
    low: float
    high: float
    rounds: int

    def __str__(self) -> str:
        return f"{self.median:.2f}x at batch {self.batch} ({self.low:.2f} to {self.high:.2f}, {self.rounds} rounds)"


def quantize(path: Path, target: Path, calibration: Arrays) -> None:
    """Write an int8 QDQ copy of the graph, weights per channel, activation ranges from real training rows."""
    logging.getLogger().setLevel(logging.ERROR)  # the quantiser advises on the root logger
    quantize_static(
        str(path),
        str(target),
        _Rows({name: values[:CALIBRATION_ROWS] for name, values in calibration.items()}),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=_COSTLY_OPERATORS,
    )


def speed_ratio(slow: Path, fast: Path, rows: Arrays, batch: int, rounds: int = 15) -> SpeedRatio:
    """How many times faster `fast` answers a batch than `slow`."""
    part = {name: values[:batch] for name, values in rows.items()}
    first, second = predictor(slow, threads=1), predictor(fast, threads=1)
    ratios = []
    for _ in range(rounds + 2):
        ratios.append(_seconds(first, part) / _seconds(second, part))
    counted = ratios[2:]  # the first rounds warm up
    return SpeedRatio(batch=batch, median=median(counted), low=min(counted), high=max(counted), rounds=rounds)


def _seconds(predict: Any, rows: Arrays, calls: int = 20) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        predict(rows)
    return time.perf_counter() - started


class _Rows(CalibrationDataReader):
    def __init__(self, rows: Arrays) -> None:
        self._batches: Iterator[dict[str, np.ndarray[Any, Any]]] = iter(
            {name: values[start : start + 64] for name, values in rows.items()}
            for start in range(0, len(next(iter(rows.values()))), 64)
        )

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        return next(self._batches, None)
