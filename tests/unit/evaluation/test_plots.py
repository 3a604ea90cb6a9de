"""The report's plots: nothing of what they show is cut off."""

import base64

import cv2
import numpy as np
import pytest

from recognizer.evaluation.calibration import Bin
from recognizer.evaluation.plots import reliability_curve


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_a_dot_at_the_end_of_the_scale_is_round(end):
    uri = reliability_curve([Bin(9, end, end)])
    bgr = cv2.imdecode(np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    blue = bgr[..., 0].astype(int) - bgr[..., 2] > 30
    height, width = np.ptp(np.argwhere(blue), axis=0)
    assert height == pytest.approx(width, abs=1) and width > 20
