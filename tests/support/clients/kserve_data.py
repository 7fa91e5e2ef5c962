"""What kserve_session.py sends; it is imported by both sides, so it needs numpy alone."""

import numpy as np

FEATURES = np.random.default_rng(3).normal(size=(4, 29)).astype(np.float32)
IMAGE = np.full((1, 8, 6, 3), 255, dtype=np.uint8)
