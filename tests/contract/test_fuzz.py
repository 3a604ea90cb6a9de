"""Requests that no client should send: whatever they are, the answer is no 5xx, and the server lives on.

FUZZ_BODIES sets how many are sent to a server of one model (`make fuzz`: 10,000), and as many to one of several. The
number of a request is its seed: a failure names it, and `FUZZ_FIRST=NUMBER FUZZ_BODIES=1` sends that one alone.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlencode

import cv2
import pytest

from tests.support.server import Server
from tests.support.tiny_model import formula_picture, png

BODIES = int(os.environ.get("FUZZ_BODIES", "1000"))
FIRST = int(os.environ.get("FUZZ_FIRST", "0"))
CLIENTS = 4
WARM_UP = 0.3  # of the bodies; memory is compared from there on
GROWTH_MB = 100  # in the rest, of the worker's resident memory: pictures come in all sizes, allocators keep some

TYPES = ["image/png", "image/jpeg", "application/x-image", "application/octet-stream"]
LINES = ["application/jsonlines", "application/x-jsonlines", "text/csv"]
PICTURES = [formula_picture(seed) for seed in range(4)]
FILES = [png(picture) for picture in PICTURES]
FILES += [cv2.imencode(kind, PICTURES[0])[1].tobytes() for kind in (".jpg", ".webp", ".bmp", ".tiff", ".ppm", ".jp2")]
ODD: list[object] = [
    None,
    True,
    -1,
    1e308,
    10**400,
    "",
    "data:",
    "data:image/png;base64,",
    "=",
    "\x00",
    "\ud800",
    [],
    {},
    [[]],
    {"image": {}},
]
KEYS = ["image", "images", "instances", "data", ""]

FAULTS = [b"Traceback", b"recognition_failed", b"internal_error"]  # the latter two in a row, or an event, of an answer

Content = tuple[bytes, dict[str, str]]


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Cut off, bits turned, a piece repeated, or filled up."""
    changed = bytearray(data)
    for _ in range(rng.choice([0, 1, 1, 2, 8])):
        place = rng.randrange(len(changed) + 1)
        match rng.randrange(5):
            case 0:
                del changed[place:]
            case 1 if place < len(changed):
                changed[place] ^= 1 << rng.randrange(8)
            case 2:
                changed[place:place] = rng.randbytes(rng.choice([1, 4, 100]))
            case 3:
                changed[place:place] = changed[place : place + rng.randrange(200)]
            case _:
                changed[place : place + 4] = rng.choice([bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff"])
    return bytes(changed)


def picture(rng: random.Random) -> bytes:
    return damaged(rng, rng.choice(FILES))


def value(rng: random.Random, depth: int = 0) -> object:
    """A JSON value; now and then a picture."""
    match rng.randrange(6 if depth < 4 else 3):
        case 0:
            return base64.b64encode(picture(rng)).decode()
        case 1:
            return damaged(rng, base64.b64encode(rng.choice(FILES))).decode("latin-1")
        case 2:
            return rng.choice(ODD)
        case 3:
            return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
        case _:
            return {rng.choice(KEYS): value(rng, depth + 1) for _ in range(rng.randrange(1, 3))}


def from_picture(rng: random.Random) -> Content:
    return picture(rng), {"Content-Type": rng.choice(TYPES)}


def from_json(rng: random.Random) -> Content:
    text = json.dumps(value(rng), ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    return rng.choice([text, text, damaged(rng, text)]), {"Content-Type": "application/json"}


def from_deep_json(rng: random.Random) -> Content:
    depth = rng.choice([10, 1000, 100_000])
    opened, closed = rng.choice([("[", "]"), ('{"image":', "}"), ('{"images":[', "]}")])
    number = rng.choice(["1" * depth, "NaN", "-Infinity", f"1e{depth}"])
    return (opened * depth + number + closed * depth).encode(), {"Content-Type": "application/json"}


def from_lines(rng: random.Random) -> Content:
    kind, rows = rng.choice(LINES), []
    for _ in range(rng.randrange(6)):
        text = base64.b64encode(picture(rng)).decode()
        row = text if kind == "text/csv" else json.dumps(rng.choice([{"image": text}, text, value(rng)]))
        rows.append(damaged(rng, row.encode()) if rng.random() < 0.3 else row.encode())
    return rng.choice([b"\n", b"\r\n", b"\r", b"\n\n"]).join(rows), {"Content-Type": kind}


def from_form(rng: random.Random) -> Content:
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    body = damaged(rng, head) + picture(rng) + damaged(rng, b"\r\n--b--\r\n")
    return body, {
        "Content-Type": rng.choice(
            ["multipart/form-data; boundary=b", "multipart/form-data", "multipart/form-data; boundary="]
        )
    }


def with_odd_types(rng: random.Random) -> Content:
    odd = [
        "",
        ";",
        "image/",
        "IMAGE/PNG;;",
        "application/json; charset=utf-99",
        "text/html",
        "multipart/mixed",
        "\xff/\xfe",
        "x" * 4000,
    ]
    return picture(rng), {
        "Content-Type": rng.choice(odd),
        "Accept": rng.choice([*odd, "text/csv", "*/*;q=x, text/plain"]),
    }


def with_many_headers(rng: random.Random) -> Content:
    """Up to the server's limits, 100 of 8190 bytes, and a little beyond."""
    many = {f"X-{number}": "v" * rng.choice([0, 10, 200]) for number in range(rng.choice([50, 90, 110]))}
    return picture(rng), {**many, "X-Long": "w" * rng.choice([8000, 9000]), "Content-Type": "image/png"}


KINDS: list[Callable[[random.Random], Content]] = [
    *(from_picture, from_json, from_lines) * 3,
    *(from_deep_json, from_form, with_odd_types, with_many_headers),
]


class Request(NamedTuple):
    method: str
    path: str
    body: bytes
    headers: dict[str, str]


OPTIONS = {
    "beam": ["1", "2", "8", "9", "-1", "4.5", "", "x" * 1000],
    "n_best": ["1", "8", "0", "1e9", "\uff11"],
    "tokens": ["1", "true", "maybe"],
    "constrained": ["true", "0", "\x00"],
    "turn": ["auto", "off", "on"],
    "views": ["1", "4", "5"],
    "nonsense": ["1"],
}
LATEX = [
    "\\frac",
    "{",
    "}",
    "^",
    "_",
    "\\left(",
    "\\begin{matrix}",
    "&",
    "\\\\",
    "x",
    "\\sqrt[",
    "]",
    "\xff",
    "<",
    "\x00",
]
NAMES = ["tiny", "a", "..", "/", "a/b", "%", "\x00", "\u00e9", "x" * 300]
URLS = ["/", "..", "/etc/passwd", "\x00", "model", "x" * 5000, "file:///", "s3://a/b"]


def asking(rng: random.Random, path: str) -> Request:
    """For an answer to a picture or several, in some form, with some options."""
    body, headers = rng.choice(KINDS)(rng)
    options = {name: rng.choice(OPTIONS[name]) for name in rng.sample(list(OPTIONS), rng.choice([0, 0, 1, 2]))}
    if options and rng.random() < 0.3:
        text = ",".join(f"{name}={option}" for name, option in options.items() if option.isprintable())
        headers = {**headers, "X-Amzn-SageMaker-Custom-Attributes": text.encode("ascii", "replace").decode()}
    elif options:
        path += "?" + urlencode(options)
    if "Accept" not in headers and rng.random() < 0.3:
        headers = {**headers, "Accept": rng.choice(["text/event-stream", "text/csv", "application/jsonlines"])}
    return Request("POST", path, body, headers)


def to_one_model(rng: random.Random) -> Request:
    if rng.random() < 0.9:
        return asking(rng, "/invocations")
    latex = "".join(rng.choice(LATEX) for _ in range(rng.choice([3, 30, 3000])))
    return Request("POST", "/mathml", latex.encode(rng.choice(["utf-8", "latin-1"])), {})


def to_several_models(rng: random.Random) -> Request:
    name = rng.choice(NAMES)
    path = f"/models/{quote(name, safe='')}"
    match rng.randrange(8):
        case 0:
            load = {"model_name": rng.choice([name, *ODD]), "url": rng.choice([*URLS, *ODD])}
            text = json.dumps(rng.choice([load, value(rng)])).encode()
            return Request("POST", "/models", rng.choice([text, damaged(rng, text)]), {})
        case 1:
            query = urlencode({"limit": rng.choice(["1", "0", "x", "9" * 30]), "next_page_token": name})
            return Request("GET", f"/models?{query}", b"", {})
        case 2:
            return Request("GET", path, b"", {})
        case 3 if name != "tiny":
            return Request("DELETE", path, b"", {})
        case _:
            return asking(rng, f"{path}/invoke")


def send(server: Server, make: Callable[[random.Random], Request], numbers: range) -> dict[int, str]:
    """What was wrong with the answers, by the number of the request."""
    wrong = {}
    for number in numbers:
        try:
            reply = server.request(*make(random.Random(number)))
        except (OSError, http.client.HTTPException) as error:
            wrong[number] = repr(error)
            continue
        if reply.status >= 500 or any(sign in reply.body for sign in FAULTS):
            wrong[number] = f"{reply.status} {reply.body[:300]!r}"
    return wrong


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.parametrize(
    ("make", "environment"),
    [(to_one_model, {"SERVE_PAGE": "1"}), (to_several_models, {"SAGEMAKER_MULTI_MODEL": "true"})],
)
def test_no_request_harms_the_server(tiny_base_dir, make, environment):
    with Server(tiny_base_dir, environment) as server, ThreadPoolExecutor(CLIENTS) as pool:
        (worker,) = server.wait_until_ready().workers()
        if make is to_several_models:
            load = {"model_name": "tiny", "url": str(tiny_base_dir / "model")}
            assert server.request("POST", "/models", json.dumps(load).encode()).status == 200

        def send_all(start: int, stop: int) -> dict[int, str]:
            parts = pool.map(lambda shift: send(server, make, range(start + shift, stop, CLIENTS)), range(CLIENTS))
            return {number: what for part in parts for number, what in part.items()}

        warm = FIRST + int(WARM_UP * BODIES)
        wrong = send_all(FIRST, warm)
        before = resident_mb(worker)
        wrong |= send_all(warm, FIRST + BODIES)
        grown = resident_mb(worker) - before
        print(f"{BODIES} requests; resident {before:.0f} MB, grown by {grown:.0f} MB")
        assert not wrong, f"{len(wrong)} wrong; FUZZ_FIRST={min(wrong)} FUZZ_BODIES=1: {wrong[min(wrong)]}"
        assert server.ping().status == 200
        path = "/invocations" if make is to_one_model else "/models/tiny/invoke"
        assert server.request("POST", path, FILES[0], {"Content-Type": "image/png"}).status == 200
        assert server.workers() == [worker]
        assert grown < GROWTH_MB


@pytest.mark.parametrize(
    ("count", "size", "status"), [(90, 8000, 200), (101, 10, 431), (1, 8200, 431), (90, 9000, 431)]
)
def test_a_flood_of_headers_is_refused(tiny_server, count, size, status):
    """Four more come with the request: its host, length, type and accepted encodings."""
    headers = {f"X-{number}": "v" for number in range(count - 1)} | {"X-Long": "w" * size}
    assert tiny_server.invoke(FILES[0], **headers).status == status
