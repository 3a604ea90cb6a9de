"""The embedded data set as tar shards, made by many machines: ten million pictures are too many for single files.

A shard holds pictures of consecutive numbers, and a picture depends on its number alone. So which machine makes which
shard changes nothing, and one that was killed goes on where it was.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from recognizer.data.formats import formula_group
from recognizer.data.sample import Sample
from recognizer.data.shards import EncodedPicture, claim_folder, is_written, write_shard
from recognizer.processes import in_processes
from recognizer.progress import Progress
from recognizer.synth.dataset import GENERATOR_VERSION, check_request, draw


def write_shards(
    folder: Path | str,
    per_shard: int,
    count: int,
    seed: int,
    workers: int = 1,
    progress: bool = True,
    shard: tuple[int, int] = (1, 1),
) -> Path:
    """Write the pictures that `write_dataset` would write as shards of `per_shard` pictures.

    Args:
        shard: (i, n) writes every n-th shard from the i-th on (counted from 1). The n folders together are the one
            that (1, 1) writes.

    Returns:
        The folder.

    Raises:
        ValueError: per_shard, count, workers or shard make no sense.
        FileExistsError: the folder holds something else.
    """
    check_request(count, workers, shard)
    if per_shard < 1:
        raise ValueError(f"a shard must have at least 1 picture, got {per_shard}")
    folder, (part, parts) = Path(folder), shard
    ranges = [range(start, min(start + per_shard, count)) for start in range(0, count, per_shard)]
    facts = {"generator": GENERATOR_VERSION, "count": count, "seed": seed, "per_shard": per_shard}
    claim_folder(folder, {"shards": len(ranges), **facts})
    left = [
        (number, indices)
        for number, indices in enumerate(ranges)
        if number % parts == part - 1 and not is_written(folder, _stem(number))
    ]
    with Progress(sum(len(indices) for _, indices in left), "synth", progress) as shown:
        for done in in_processes(partial(_write, folder, seed), left, workers):
            shown.advance(done)
    return folder


def _stem(number: int) -> str:
    return f"embedded-{number:06}"


def _write(folder: Path, seed: int, job: tuple[int, range]) -> int:
    number, indices = job
    write_shard(folder, _stem(number), (_sample(index, seed) for index in indices), first=indices.start)
    return len(indices)


def _sample(index: int, seed: int) -> Sample:
    drawn = draw(index, seed)
    return Sample(
        name=drawn.name,
        tokens=drawn.tokens,
        picture=EncodedPicture(drawn.data, Path(drawn.name).suffix),
        source="printed",
        level=str(drawn.level),
        group=formula_group(drawn.tokens),
        origin=f"picture {index} of seed {seed}",
    )
