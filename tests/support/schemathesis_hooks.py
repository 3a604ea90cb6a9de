"""What schemathesis can't draw by chance: bodies that are pictures (SCHEMATHESIS_HOOKS names this module)."""

from __future__ import annotations

import base64

import schemathesis
from hypothesis import strategies as st

from inference import PICTURE_TYPES
from tests.support.tiny_model import formula_picture, png

PICTURES = st.integers(0, 3).map(lambda seed: png(formula_picture(seed)))  # bytes say what they are, whatever the type

schemathesis.openapi.format("binary", PICTURES)
schemathesis.openapi.format("byte", PICTURES.map(lambda picture: base64.b64encode(picture).decode()))
for kind in PICTURE_TYPES.values():
    schemathesis.openapi.media_type(kind, PICTURES)
