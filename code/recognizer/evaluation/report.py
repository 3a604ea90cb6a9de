"""One self-contained HTML file about a recognizer: rates, slices, learning curves, and errors to look at."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader
from rapidfuzz.distance import Levenshtein

import inference
from recognizer.data.sample import Sample
from recognizer.evaluation.attention import AttentionReader
from recognizer.evaluation.calibration import calibration_error, reliability
from recognizer.evaluation.confusions import Confusion, confusions
from recognizer.evaluation.metrics import Metrics, Result, compute_metrics
from recognizer.evaluation.plots import History, learning_curves, reliability_curve
from recognizer.evaluation.slices import metrics_by_slice
from recognizer.synth.mathjax import RenderError, engine

ERRORS_SHOWN = 20
PICTURE_SIDE = 640  # pixels; larger pictures are shown reduced
CONFUSIONS_SHOWN = 12

Diff = list[tuple[str, str]]  # ("same" or "other", tokens)


@dataclass(frozen=True)
class ErrorShown:
    """A row of a gallery. Pictures are data URIs; "" where MathJax can't typeset the formula."""

    name: str
    picture: str
    reference_image: str
    prediction_image: str
    reference_diff: Diff
    prediction_diff: Diff
    attention: str  # "" where the recognizer has none to show
    attention_token: str  # that was written then; "" for the end
    edits: int
    confidence: float


def write_report(
    path: Path,
    results: Sequence[Result],
    samples: Sequence[Sample],
    facts: Mapping[str, str],
    history: History = (),
    attention: AttentionReader | None = None,
) -> None:
    """Write the report.

    Args:
        path: the HTML file.
        results: of all samples.
        samples: those that the results are of, to show their pictures.
        facts: what to say about model and data, name -> value.
        history: a row for each validation of the training, {"epoch": 1, "loss": ..., "exprate": ...}.
        attention: of the model, to show where it looked when it went wrong.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": _percent, "visible": _visible}
    total = compute_metrics(results)
    bins = reliability(results)
    html = environment.get_template("report.html.j2").render(
        total=total,
        headline=_headline(total),
        facts=list(facts.items()),
        curves=learning_curves(history) if len(history) > 1 else "",
        reliability=reliability_curve(bins),
        calibration_error=calibration_error(bins),
        confusions=_confusion_tables(results),
        by_slice=metrics_by_slice(results),
        galleries=_galleries(results, {sample.name: sample for sample in samples}, attention),
    )
    path.write_text(html, encoding="utf-8")


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _visible(token: str) -> str:
    r"""`\ `, the control space, shows its blank."""
    return token.replace(" ", "␣")


def _headline(total: Metrics) -> list[tuple[str, str]]:
    same = [] if total.renders_same is None else [("renders the same", _percent(total.renders_same))]
    return [
        ("exact (ExpRate)", _percent(total.exprate)),
        *same,
        ("within 1 edit", _percent(total.within_1)),
        ("within 2 edits", _percent(total.within_2)),
        ("WER", _percent(total.wer)),
        ("BLEU", f"{total.bleu:.4f}"),
        ("competition WER", _percent(total.competition_wer)),
        ("competition score", f"{total.competition_score:.4f}"),
    ]


def _confusion_tables(results: Sequence[Result]) -> list[tuple[str, list[Confusion]]]:
    confused = confusions(results)
    replaced = [each for each in confused if each.reference and each.prediction]
    others = [each for each in confused if not (each.reference and each.prediction)]
    tables = [("Taken for another", replaced), ("Left out or added", others)]
    return [(title, pairs[:CONFUSIONS_SHOWN]) for title, pairs in tables if pairs]


def _galleries(
    results: Sequence[Result], samples: Mapping[str, Sample], attention: AttentionReader | None
) -> list[tuple[str, str, list[ErrorShown]]]:
    errors = [result for result in results if result.edits]
    if not errors:
        return []
    worst = sorted(errors, key=_badness)
    confident = sorted(errors, key=lambda result: (-result.confidence, result.name))
    orders = [
        ("Worst errors", "Most edits for the label's length first.", worst),
        ("Most confident errors", "The recognizer was sure, and wrong: look for mislabelled data too.", confident),
    ]
    return [
        (title, note, [_shown(result, samples[result.name], attention) for result in ordered[:ERRORS_SHOWN]])
        for title, note, ordered in orders
    ]


def _badness(result: Result) -> tuple[float, int, str]:
    """Order by edits for the label's length, then by edits: a long formula that is all wrong says more."""
    return -result.edits / len(result.reference), -result.edits, result.name


def _shown(result: Result, sample: Sample, attention: AttentionReader | None) -> ErrorShown:
    reference_diff, prediction_diff = _diff(result.reference, result.prediction)
    rgb = sample.load()
    first_wrong = next(iter(Levenshtein.editops(result.reference, result.prediction))).dest_pos
    as_read = np.rot90(rgb, -result.turned // 90)
    heat = attention.map(as_read, result.prediction, first_wrong) if attention else None
    return ErrorShown(
        name=result.name,
        picture=_picture_uri(rgb),
        reference_image=_typeset_uri(result.reference),
        prediction_image=_typeset_uri(result.prediction),
        reference_diff=reference_diff,
        prediction_diff=prediction_diff,
        attention="" if heat is None else _picture_uri(heat),
        attention_token=" ".join(result.prediction[first_wrong : first_wrong + 1]),
        edits=result.edits,
        confidence=result.confidence,
    )


def _diff(reference: Sequence[str], prediction: Sequence[str]) -> tuple[Diff, Diff]:
    """Cut both sequences into runs that are the same in the other one, and runs that aren't."""
    mine: Diff = []
    other: Diff = []
    for step in Levenshtein.opcodes(reference, prediction):
        kind = "same" if step.tag == "equal" else "other"
        if step.src_end > step.src_start:
            mine.append((kind, " ".join(reference[step.src_start : step.src_end])))
        if step.dest_end > step.dest_start:
            other.append((kind, " ".join(prediction[step.dest_start : step.dest_end])))
    return mine, other


def _typeset_uri(tokens: Sequence[str]) -> str:
    try:
        svg = engine().to_svg(inference.join_tokens(tokens))
    except RenderError:
        return ""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _picture_uri(rgb: np.ndarray) -> str:
    reduction = PICTURE_SIDE / max(rgb.shape[:2])
    if reduction < 1:
        rgb = inference.resize(rgb, reduction, cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
