"""A whole training job: hyperparameters and folders in; a model directory, metrics and a report out."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import inference
from recognizer.config import ConfigError, Hyperparameters
from recognizer.data.canvases import read_canvases, write_canvases
from recognizer.data.sample import Sample
from recognizer.data.split import Split
from recognizer.evaluation.attention import read_attention
from recognizer.evaluation.metrics import compute_metrics
from recognizer.evaluation.recognize import recognize
from recognizer.evaluation.report import write_report
from recognizer.export import HISTORY, ExportError, Trained, amend, export
from recognizer.model_dir import Start
from recognizer.models import FormulaRecognizer, build
from recognizer.training import checkpoint
from recognizer.training.added import MADE_OF_OTHERS
from recognizer.training.data import JobData, prepare
from recognizer.training.determinism import deterministic
from recognizer.training.distill import Teacher, read_teacher
from recognizer.training.distributed import Ranks, join
from recognizer.training.events import Events
from recognizer.training.loop import Trainer
from recognizer.training.precision import Precision
from recognizer.training.stages import StoppedError
from recognizer.training.stop import BEFORE_TRAINING, StopSignal
from recognizer.training.symbols import CHECKPOINT as LESSONS
from recognizer.training.symbols import CLIP_NORM, SymbolLessons
from recognizer.training.warmstart import follow, read_start, start_path, take_over, token_axes

SPLIT, CANVASES = "split.json", "canvases.npz"
CHANNEL = "SM_CHANNEL_"  # beginning of the variables that name the channels' folders
CHANNELS = ("train", "training", "validation", "model", "index")  # `training` is the SDK's for `fit("s3://...")`
LAUNCHERS = ("code", "sm_drivers")  # ModelTrainer's own channels
KINDS_DRAWN = ("synthetic", "strips", "written", "rewritten", *MADE_OF_OTHERS)


@dataclass(frozen=True)
class Folders:
    """Where a SageMaker job reads and writes; all below /opt/ml unless the environment says otherwise."""

    model: Path
    output: Path
    checkpoints: Path
    train: Path | None
    validation: Path | None
    start: Path | None = None  # a model to begin with
    tensorboard: Path | None = None
    index: Path | None = None  # of the shards, if `train` is a pipe

    @classmethod
    def from_environment(cls) -> Folders:
        base = Path(os.environ.get("SAGEMAKER_BASE_DIR", "").strip() or "/opt/ml").absolute()
        channels = {name: os.environ.get(f"SM_CHANNEL_{name.upper()}") for name in CHANNELS}
        train = channels["train"] or channels["training"]
        return cls(
            model=Path(os.environ.get("SM_MODEL_DIR", base / "model")),
            output=Path(os.environ.get("SM_OUTPUT_DATA_DIR", base / "output" / "data")),
            checkpoints=base / "checkpoints",
            train=Path(train) if train else None,
            validation=Path(channels["validation"]) if channels["validation"] else None,
            start=Path(channels["model"]) if channels["model"] else None,
            tensorboard=base / "output" / "tensorboard",
            index=Path(channels["index"]) if channels["index"] and _is_pipe(train) else None,
        )


def unread_channels(settings: Hyperparameters) -> list[str]:
    """Names of channels that this job doesn't read: to be told, as no data are to be ignored without a word (T4).

    Raises:
        ConfigError: training data come under two names, or under one that nothing reads, in whose place the embedded
            pictures would be trained on.
    """
    named = {name[len(CHANNEL) :].lower(): path for name, path in os.environ.items() if name.startswith(CHANNEL)}
    models = [Path(each) for each in (settings.init, settings.teacher) if each]
    unread = [
        name
        for name, path in sorted(named.items())
        if name not in (*CHANNELS, *LAUNCHERS) and not any(model.is_relative_to(path) for model in models)
    ]
    if {"train", "training"} <= named.keys():
        raise ConfigError(
            "the job has both a channel `train` and one `training`, of which only one would be read: bring all "
            "training data in one channel `train`; data to validate with are a channel `validation`"
        )
    if unread and not {"train", "training"} & named.keys():
        raise ConfigError(
            f"the job has no channel `train` (or `training`), and nothing reads its channel `{unread[0]}`: give the "
            "data the name `train`; without that channel a job trains on the embedded pictures"
        )
    return unread


def _is_pipe(channel: str | None) -> bool:
    """Whether a channel is in Pipe mode: its pipes are `channel_0`, `channel_1`, ..., and there is no folder."""
    return bool(channel) and not Path(str(channel)).is_dir()


@dataclass(frozen=True)
class _Job:
    """What every part of a job needs."""

    settings: Hyperparameters
    folders: Folders
    spec: inference.PreprocessSpec
    data: JobData
    ranks: Ranks

    def build(self) -> FormulaRecognizer:
        """The job's recognizer, untrained."""
        settings = self.settings
        return build(settings.recognizer, len(self.data.vocabulary), settings.max_tokens, settings.sizes)

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with the job that resumes from it, beside the recognizer."""
        return {
            "sizes": self.settings.sizes,
            "vocabulary": self.data.vocabulary.to_dict(),
            "preprocess": self.spec.to_dict(),
            "max_tokens": self.settings.max_tokens,
        }


def run(settings: Hyperparameters, folders: Folders, stop: StopSignal) -> None:
    """Trains, or goes on training, and exports what validated best."""
    torch.set_num_threads(settings.threads or inference.default_threads())
    unread = unread_channels(settings)
    settings, start = _start(settings, folders)
    kept_tokens = start.vocabulary.tokens if start and settings.keep_tokens else ()
    begins = start if not _begun(folders) else None
    with deterministic(settings.deterministic), join() as ranks:
        for name in unread if ranks.is_main else ():
            print(f"note: nothing reads channel `{name}`; data to validate with are a channel `validation`", flush=True)
        torch.manual_seed(settings.seed)  # of the first weights
        spec = inference.PreprocessSpec(settings.glyph_height, settings.scale, settings.frames)
        taught = read_teacher(start_path(settings.teacher, "teacher"), spec) if settings.teacher else None
        data = _prepare(settings, folders, spec, ranks, kept_tokens, stop)
        if data is None:
            ranks.wait()
            return
        job = _Job(settings, folders, spec, data, ranks)
        model = job.build()
        if begins:
            _take_over(job, begins, model)
        learned = _learn_symbols(job, model, stop)
        trainer = _trainer(job, model, Teacher(taught, data.vocabulary, ranks.device) if taught else None)
        if begins:
            trainer.progress.init = begins.version
        if learned and ranks.is_main:
            _keep_lessons(folders, trainer)
        finished = learned and trainer.run(stop)
        trainer.events.close()
        if ranks.is_main:
            if finished:
                _finish(job, trainer)
            else:
                _tell_stopped(folders)
        ranks.wait()


def _prepare(
    settings: Hyperparameters,
    folders: Folders,
    spec: inference.PreprocessSpec,
    ranks: Ranks,
    kept_tokens: Sequence[str],
    stop: StopSignal,
) -> JobData | None:
    """The job's data, with what a resumed run needs of them written beside its checkpoints; None if it was stopped."""
    split = _split_to_resume(folders)
    canvases, made_from = folders.checkpoints / CANVASES, _samples_depend_on(settings, spec)
    known = read_canvases(canvases, made_from)
    channels = folders.train, folders.validation
    try:
        with ranks.told_once():
            data = prepare(settings, *channels, spec, split, ranks, folders.index, known, kept_tokens, stop)
    except StoppedError as stopped:
        if ranks.is_main:
            if stopped.measured:
                with suppress(OSError):  # it only saves the next run its time
                    folders.checkpoints.mkdir(parents=True, exist_ok=True)
                    write_canvases(canvases, stopped.measured, made_from)
            print(BEFORE_TRAINING, flush=True)
        return None
    if ranks.is_main:
        folders.checkpoints.mkdir(parents=True, exist_ok=True)
        data.split.write(folders.checkpoints / SPLIT)
        write_canvases(canvases, data.measured, made_from)
    return data


def _tell_stopped(folders: Folders) -> None:
    """Says where a stopped run goes on from, and puts a copy to what a stopped job leaves, if there is room.

    SageMaker keeps /opt/ml/checkpoints only where the job has an address for it; output/data is always uploaded.
    """
    copies = folders.output / folders.checkpoints.name
    try:
        copies.mkdir(parents=True, exist_ok=True)
        for path in folders.checkpoints.iterdir():
            if path.is_file() and not path.name.startswith("."):
                shutil.copyfile(path, copies / path.name)
    except OSError as error:  # the run is saved all the same
        shutil.rmtree(copies, ignore_errors=True)
        print(f"stopped; the run goes on from {folders.checkpoints}. No copy of it is in {copies}: {error}", flush=True)
        return
    print(f"stopped; the run goes on from {folders.checkpoints}, of which {copies} is a copy", flush=True)


def _samples_depend_on(settings: Hyperparameters, spec: inference.PreprocessSpec) -> dict[str, Any]:
    """What the pictures of a job depend on, beside its data: those of some samples are drawn."""
    return {**spec.to_dict(), **settings.model_dump(include={"seed", "max_tokens", *KINDS_DRAWN})}


def _start(settings: Hyperparameters, folders: Folders) -> tuple[Hyperparameters, Start | None]:
    """The model to begin with, and settings that follow it.

    Raises:
        ConfigError: it can't be read, or there is none whose tokens could be kept.
    """
    path = start_path(settings.init) if settings.init else folders.start
    if path:
        start = read_start(path, settings.recognizer)
        return follow(start, settings), start
    if settings.keep_tokens:
        raise ConfigError("keep_tokens=true without a model to begin with: give it as init or as channel `model`")
    return settings, None


def _begun(folders: Folders) -> bool:
    """Whether there is a run to resume."""
    return (folders.checkpoints / checkpoint.LAST).is_file()


def _take_over(job: _Job, start: Start, model: FormulaRecognizer) -> None:
    """Begins with the start's weights, and says what was kept."""
    settings, vocabulary = job.settings, job.data.vocabulary
    axes = token_axes(model, settings.recognizer, len(vocabulary), settings.max_tokens, settings.sizes)
    taken = take_over(start, model, vocabulary, axes)
    if not job.ranks.is_main:
        return
    print(f"begins with {start.version}, without lessons on symbols:\n{taken}", flush=True)
    for key, value in job.spec.to_dict().items():
        if (trained := getattr(start.preprocess, key)) != value:
            print(f"  note: it was trained with {key}={trained}, this job has {value}", flush=True)


def _split_to_resume(folders: Folders) -> Split | None:
    """How the run before was divided, if it has learned anything: one that ended before binds nobody to its data."""
    path = folders.checkpoints / SPLIT
    has_learned = _begun(folders) or (folders.checkpoints / LESSONS).is_file()
    return Split.read(path) if has_learned and path.is_file() else None


def _learn_symbols(job: _Job, model: FormulaRecognizer, stop: StopSignal) -> bool:
    """The first lessons, on the main rank, from which the others get their weights; False if they were stopped."""
    settings, folders, data, ranks = job.settings, job.folders, job.data, job.ranks
    finished = True
    if ranks.is_main and data.bank and settings.symbol_steps and not _begun(folders):
        precision = Precision(settings.precision, ranks.device, CLIP_NORM)
        lessons = SymbolLessons(
            model, settings.recognizer, data.vocabulary, data.bank, job.spec, settings.seed, precision, job.identity
        )
        finished = lessons.run(settings.symbol_steps, folders.checkpoints, stop, settings.checkpoint_minutes)
    return ranks.sum(float(not finished))[0] == 0


def _keep_lessons(folders: Folders, trainer: Trainer) -> None:
    """Saves the run with what the lessons taught before their own checkpoint goes: a kill finds one of the two."""
    lessons = folders.checkpoints / LESSONS
    if lessons.is_file():
        trainer.save()
        lessons.unlink()


def _trainer(job: _Job, model: FormulaRecognizer, teacher: Teacher | None) -> Trainer:
    settings, data, ranks = job.settings, job.data, job.ranks
    trainer = Trainer(
        settings,
        model,
        data.vocabulary,
        data.training,
        data.validation,
        job.folders.checkpoints,
        ranks,
        job.identity,
        _events(settings, job.folders),
        teacher,
    )
    if teacher and ranks.is_main:
        print(f"learns from {teacher.version} too, which knows {len(teacher.knows)} of the tokens", flush=True)
    if trainer.resume() and ranks.is_main:
        at = trainer.progress
        print(f"resumed at epoch {at.epoch + 1}, batch {at.position}, step {at.step}", flush=True)
    parameters = sum(p.numel() for p in model.parameters())
    if ranks.is_main:
        threads = torch.get_num_threads()
        print(
            f"recognizer {settings.recognizer}: {parameters / 1e6:.2f} M parameters on {ranks.device}, "
            f"{trainer.precision.name}, {threads} threads, {ranks.world_size} processes",
            flush=True,
        )
    return trainer


def _events(settings: Hyperparameters, folders: Folders) -> Events:
    """Curves are written where there is a folder for them, or if they are asked for."""
    folder = folders.tensorboard
    return Events(folder if folder and (settings.tensorboard or folder.is_dir()) else None)


def _trained(job: _Job, trainer: Trainer) -> Trained:
    """The weights that validated best, and what their model says of itself."""
    settings, folders, data = job.settings, job.folders, job.data
    best = checkpoint.read(folders.checkpoints, checkpoint.BEST, settings.recognizer)
    if best is None:  # a finished run has validated at least once
        raise checkpoint.CheckpointError(
            f"{folders.checkpoints} has {checkpoint.LAST} and no {checkpoint.BEST}: bring the other file back too, or "
            "make a model of the one that is there (python -m recognizer.snapshot)"
        )
    model = job.build()
    model.load_state_dict(best["weights"])
    return Trained(
        model=model,
        recognizer=settings.recognizer,
        sizes=settings.sizes,
        vocabulary=data.vocabulary,
        spec=job.spec,
        max_tokens=settings.max_tokens,
        metrics=best["metrics"],
        calibration=best.get("calibration"),  # a checkpoint of an earlier version has none
        provenance={
            "hyperparameters": trainer.trained_with,
            "init": trainer.progress.init,
            "teacher": trainer.teacher.version if trainer.teacher else None,
            "job": os.environ.get("TRAINING_JOB_NAME", ""),
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "best_epoch": best["epoch"],
            "steps": trainer.progress.step,
            "training_samples": len(data.split.train),
            "device": str(trainer.device),
            "precision": trainer.precision.name,
            "threads": torch.get_num_threads(),
            "processes": trainer.ranks.world_size,
        },
    )


def _finish(job: _Job, trainer: Trainer) -> None:
    """Exports the weights that validated best, evaluates the exported model, and writes history and report."""
    folders, data = job.folders, job.data
    trained = _trained(job, trainer)
    print("exporting the model and checking that ONNX equals torch", flush=True)
    try:
        recognizer = export(trained, _golden_pictures(data.validation_samples), folders.model)
    except ExportError as error:  # of a recognizer that nobody has exported before
        raise ExportError(
            f"recognizer {trained.recognizer}: {error}. What it has learned is in {folders.checkpoints}: mend its "
            "file in models, and the same job goes on to the export. tests/unit/test_export.py exports without training"
        ) from error
    data.split.write(folders.model / SPLIT)
    print(f"model {recognizer.version} is in {folders.model}; its golden samples reproduce", flush=True)
    folders.output.mkdir(parents=True, exist_ok=True)
    history = "".join(json.dumps(row) + "\n" for row in trainer.history)
    for folder in (folders.output, folders.model):  # with the model, for the report of a later evaluation
        (folder / HISTORY).write_text(history, encoding="utf-8")
    _evaluate(folders, data.validation_samples, trainer.history)


def _golden_pictures(samples: list[Sample]) -> list[Any]:
    """A few validation pictures, spread over the set."""
    step = max(1, len(samples) // 4)
    return [sample.load(None) for sample in samples[::step][:4]]


def _evaluate(folders: Folders, samples: list[Sample], history: list[dict[str, float]]) -> None:
    """Measures the exported model on the validation samples, states its accuracy in it, and writes the report."""
    measured = {}
    for precision in inference.NETWORKS:
        recognizer = inference.Recognizer.load(folders.model, threads=1, precision=precision)
        measured[precision] = recognize(recognizer, samples, inference.Options())
    every = {precision: compute_metrics(each.results) for precision, each in measured.items()}
    amend(folders.model, {"accuracy": {precision: each.to_dict() for precision, each in every.items()}})
    recognized, metrics = measured["fp32"], every["fp32"]
    facts = {
        "model": recognizer.version,
        "samples": f"{metrics.samples} validation samples, kept apart from training",
        "speed": f"{1 / recognized.seconds_per_picture:.0f} pictures a second, {inference.default_threads()} cores",
        "in 8 bits": f"{every['int8'].exprate:.1%} exactly right instead of {metrics.exprate:.1%}, and "
        f"{1 / measured['int8'].seconds_per_picture:.0f} pictures a second",
    }
    report = folders.output / "report.html"
    write_report(report, recognized.results, recognized.samples, facts, history, read_attention(folders.model))
    for precision, each in every.items():
        print(each.lines("exported:" if precision == "fp32" else f"exported_{precision}:"), flush=True)
    print(f"{metrics.exprate:.1%} of the validation formulas are exactly right; report: {report}", flush=True)
