"""The web page in a real browser, in front of a real server: every way in, every way out, keyboard, phone, dark."""

from __future__ import annotations

import json
import re

import cv2
import numpy as np
import pytest
from selenium.webdriver import ActionChains, Keys

from recognizer.latex import normalize, tokenize
from tests.browser.conftest import PAGE
from tests.support.browser import Page
from tests.support.handlers import replace_handler
from tests.support.server import ROOT, Server
from tests.support.tiny_model import formula_picture, png

pytestmark = pytest.mark.browser

KEY = "schlüssel"
CROSS = [[(-30, -30), (0, 0), (30, 30)], [(30, -30), (0, 0), (-30, 30)]]
LONG = " + ".join(rf"\frac{{{n}}}{{x^{{{n}}}}}" for n in range(40))
# A handler that knows what newer ones may say, and keeps the picture that it was sent.
STUB = """
import pathlib
def model_fn(model_dir): return pathlib.Path(model_dir).parent / "sent"
def transform_fn(model, body, content_type, accept):
    model.write_bytes(body)
    return {answer!r}, "application/json"
"""
RICH = {
    "latex": r"\frac{1}{2}",
    "confidence": 0.61,
    "truncated": True,
    "tokens": [
        {"token": r"\frac", "confidence": 0.99},
        {"token": "1", "confidence": 0.7},
        {"token": "2", "confidence": 0.3},
    ],
    "n_best": [{"latex": r"\frac{1}{2}", "confidence": 0.61}, {"latex": r"\frac{1}{z}", "confidence": 0.2}],
}


def asked_by_the_page(server: Server, picture: bytes) -> str:
    """The LaTeX that a request with the page's own options gets: alternatives have votes, too."""
    path = "/invocations?n_best=3&tokens=1"
    return server.request("POST", path, picture, {"Content-Type": "image/png"}).json()["latex"]


def picture_that_typesets(server: Server) -> bytes:
    r"""The tiny model writes what it likes; this picture's answer has no \frac that lacks its arguments."""
    pictures = (png(formula_picture(seed)) for seed in range(50))
    return next(picture for picture in pictures if "frac" not in asked_by_the_page(server, picture))


@pytest.fixture(scope="session")
def picture(page_server):
    return picture_that_typesets(page_server)


@pytest.fixture(scope="session")
def latex(page_server, picture):
    return asked_by_the_page(page_server, picture)


@pytest.fixture
def stubbed(own_base_dir, chromium):
    """Opens the page of a server that always gives this answer."""
    servers = []

    def start(answer):
        replace_handler(own_base_dir, STUB.format(answer=json.dumps(answer)))
        servers.append(Server(own_base_dir, PAGE).__enter__().wait_until_ready())
        return Page(chromium, servers[0])

    yield start
    for server in servers:
        server.__exit__()


# A palm comes to lie on the sheet before the pen writes; at last the system finds out that it was one.
PALM_AND_PEN = """
const pad = document.getElementById("pad"), box = pad.getBoundingClientRect();
pad.setPointerCapture = () => {};  // there is no such pointer in truth
const at = (kind, pointerType, pointerId, x, y) => pad.dispatchEvent(new PointerEvent(kind, {
  bubbles: true, isPrimary: true, button: 0, pointerType, pointerId, clientX: box.left + x, clientY: box.top + y}));
at("pointerdown", "touch", 7, 20, 150);
at("pointerdown", "pen", 8, 200, 50);
at("pointermove", "touch", 7, 24, 150);
at("pointermove", "pen", 8, 260, 50);
at("pointerup", "pen", 8, 260, 50);
at("pointermove", "pen", 8, 260, 150);
at("pointercancel", "touch", 7, 24, 150);
const scale = pad.width / pad.clientWidth;
return [[22, 148], [112, 100], [230, 48], [258, 100]].map(([x, y]) => {
  const [, , , alpha] = pad.getContext("2d").getImageData(x * scale, y * scale, 1, 1).data;
  return alpha > 0;
});
"""
# The server's next answer is this one; later ones are its own.
BUSY = """
const fetched = window.fetch;
const text = '{"error": {"code": "overloaded", "message": "busy"}}';
const busy = new Response(text, {status: 503, headers: {"Retry-After": "1"}});
window.fetch = (...all) => { window.fetch = fetched; return Promise.resolve(busy); };
"""
# Formulas take for ever.
NO_MATHML = """
const fetched = window.fetch;
window.fetch = (path, ...all) => path === "mathml" ? new Promise(() => {}) : fetched(path, ...all);
"""
# Text for a field, from a word processor whose clipboard has a picture of it, too. Gives: is it left to the field?
TEXT_WITH_PICTURE = """
const transfer = new DataTransfer();
transfer.setData("text/plain", "x");
transfer.items.add(new File([new Uint8Array(8)], "formula", {type: "image/png"}));
const all = {bubbles: true, cancelable: true, clipboardData: transfer, dataTransfer: transfer};
return [new ClipboardEvent("paste", all), new DragEvent("dragover", all), new DragEvent("drop", all)]
  .map((event) => document.getElementById("latex").dispatchEvent(event));
"""
# A browser that keeps no data of sites.
NO_STORAGE = """
Object.defineProperty(window, "sessionStorage", {get() { throw new DOMException("denied", "SecurityError"); }});
"""
# Where the ink on the sheet begins and ends, as shares of its width.
INK = """
const pad = document.getElementById("pad");
const {data} = pad.getContext("2d").getImageData(0, 0, pad.width, pad.height);
const across = [];
for (let i = 3; i < data.length; i += 4) if (data[i]) across.push((i >> 2) % pad.width / pad.width);
return [Math.min(...across), Math.max(...across)];
"""
# The elements that stick out of the page, or out of a box with a border; the formula scrolls within its own.
OUTSIDE = """
const right = (element) => element.getBoundingClientRect().right;
return [...document.querySelectorAll("body *:not(#rendering *)")]
  .filter((one) => one.getClientRects().length)
  .filter((one) => right(one) > Math.min(innerWidth, right(one.parentElement.closest(".card, button, body"))) + 1)
  .map((one) => one.outerHTML);
"""
# The blanks between the signs of a formula, in hundredths of its letters' size.
GAPS = """
const signs = [...document.querySelectorAll("#rendering :is(mi, mo, mn)")].map((one) => one.getBoundingClientRect());
const size = parseFloat(getComputedStyle(document.getElementById("rendering")).fontSize);
return signs.slice(1).map((one, i) => Math.round(100 * (one.left - signs[i].right) / size));
"""


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)`, 0..1 (WCAG 2.2)."""
    shares = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("way", ["paste", "drop"])
def test_a_picture_pasted_or_dropped_is_answered_and_drawn(page, picture, latex, way):
    page.give(way, picture)
    assert page.answer() == latex
    assert len(page.all("#rendering math")) == 1
    assert page.at("preview").is_displayed()
    assert re.fullmatch(r"\d+ %", page.at("percent").text)
    assert page.complaints() == []


def test_a_chosen_file_is_answered_and_can_be_chosen_again(page, picture, latex, tmp_path):
    path = tmp_path / "formula.png"
    path.write_bytes(picture)
    for count in (1, 2):
        page.at("file").send_keys(str(path))
        page.wait(lambda count=count: len(page.all("#history li")) == count)
        assert page.answer() == latex


@pytest.mark.parametrize("name", ["formula.pdf", "formula.txt", "formula.json"])
def test_a_chosen_file_that_is_no_picture_is_explained(page, name, tmp_path):
    (tmp_path / name).write_bytes(b"no picture")
    page.at("file").send_keys(str(tmp_path / name))
    page.wait(lambda: "no picture in what you gave" in page.status())


def test_a_chosen_file_of_a_kind_that_the_browser_does_not_know_is_read(page, picture, latex, tmp_path):
    (tmp_path / "formula").write_bytes(picture)
    page.at("file").send_keys(str(tmp_path / "formula"))
    assert page.answer() == latex


def test_a_drawing_is_sent_as_dark_ink_on_white(stubbed, own_base_dir):
    page = stubbed({"latex": "x"})
    page.prefer("dark")  # where the sheet on the screen is dark
    page.draw(*CROSS)
    page.at("read-drawing").click()
    assert page.answer() == "x"
    sent = (own_base_dir / "sent").read_bytes()
    assert sent.startswith(b"\x89PNG")
    drawn = cv2.imdecode(np.frombuffer(sent, np.uint8), cv2.IMREAD_UNCHANGED)
    assert drawn is not None
    assert drawn.shape[2] == 3 or drawn[..., 3].min() == 255  # no transparency, which some readers take for black
    gray = drawn[..., :3].mean(axis=2)
    assert gray[:20].min() == 255 and gray[:, :20].min() == 255
    assert gray[gray.shape[0] // 2, gray.shape[1] // 2] == 0
    assert 0.02 < (gray < 128).mean() < 0.3


def test_undo_and_clear_take_strokes_back(page):
    page.draw(*CROSS)
    page.at("undo").click()
    page.at("undo").click()
    page.at("read-drawing").click()
    assert "still blank" in page.status()
    page.draw(*CROSS)
    page.at("clear").click()
    page.at("read-drawing").click()
    assert "still blank" in page.status() and not page.at("answer").is_displayed()


def test_nothing_is_sent_that_was_drawn_beside_the_sheet(stubbed, own_base_dir):
    page = stubbed({"latex": "x"})
    page.draw([(-50, 0), (50, 0), (60, 330), (70, 0)])
    page.at("read-drawing").click()
    page.answer()
    sent = cv2.imdecode(np.frombuffer((own_base_dir / "sent").read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert sent is not None
    height = page.script("return document.getElementById('pad').clientHeight")
    assert sent.shape[0] == pytest.approx(2 * (height / 2 + 2 * 24), abs=4)  # from the middle down, and the margins


def test_a_sheet_that_became_narrower_shows_all_that_was_written(page):
    """A phone was turned."""
    page.draw([(-200, 0), (-180, 20)], [(200, 0), (220, 20)])
    page.resize(360, 740)
    page.wait(lambda: page.script("return document.getElementById('pad').clientWidth") < 360)
    page.wait(lambda: page.script(INK)[1] > 0.9)
    assert page.script(INK)[0] < 0.2


def test_a_pen_on_a_narrower_sheet_writes_where_it_is(page):
    page.draw([(200, 0), (220, 20)])
    page.resize(360, 740)
    page.wait(lambda: page.script(INK)[1] > 0.9)
    page.act("pad", [(-100, 0), (-100, 20)], "mouse")
    middle = page.script("return document.getElementById('pad').clientWidth") / 2
    assert page.script(INK)[0] == pytest.approx((middle - 100) / (2 * middle), abs=0.02)
    page.at("clear").click()
    page.act("pad", [(0, 0), (0, 20)], "mouse")
    assert page.script(INK) == pytest.approx([0.5, 0.5], abs=0.02)


def test_a_palm_beside_the_pen_draws_no_line_to_it(page):
    page.at("to-drawing").click()
    assert page.script(PALM_AND_PEN) == [False, False, True, False]


def test_a_picture_without_ink_gets_a_friendly_word(page):
    page.give("paste", png(np.full((60, 120, 3), 255, np.uint8)))
    page.wait(lambda: "nothing written" in page.status())
    assert not page.at("answer").is_displayed() and not page.at("history").is_displayed()


def test_copies_latex_and_mathml(page, picture, latex):
    page.give("paste", picture)
    page.answer()
    page.at("copy-latex").click()
    page.wait(lambda: page.status() == "LaTeX copied.")
    assert page.clipboard() == latex
    page.at("copy-mathml").click()
    page.wait(lambda: page.status() == "MathML copied.")
    assert page.clipboard().startswith("<math ")


def test_a_button_says_itself_that_it_has_copied(page, picture):
    """On a phone the status is off the screen by then."""
    page.resize(360, 640)
    page.give("paste", picture)
    page.answer()
    page.at("copy-latex").click()
    page.wait(lambda: page.at("copy-latex").text == "Copied")
    page.wait(lambda: page.at("copy-latex").text == "Copy LaTeX")
    page.at("copy-mathml").click()
    page.wait(lambda: page.at("copy-mathml").text == "Copied")
    page.wait(lambda: page.at("copy-mathml").text == "Copy MathML")


def test_copies_without_the_clipboard_api_too(page, picture, latex):
    """A page that came over plain HTTP from another machine has none."""
    page.script("Object.defineProperty(navigator, 'clipboard', {value: undefined, configurable: true})")
    page.give("paste", picture)
    page.answer()
    page.at("copy-latex").click()
    page.wait(lambda: page.status() == "LaTeX copied.")
    page.script("delete navigator.clipboard")
    assert page.clipboard() == latex


def test_says_so_where_nothing_can_be_copied(page, picture):
    page.script("Object.defineProperty(navigator, 'clipboard', {value: undefined, configurable: true})")
    page.script("document.execCommand = () => false")
    page.give("paste", picture)
    page.answer()
    page.at("copy-latex").click()
    page.wait(lambda: "select the LaTeX" in page.status())
    assert page.at("copy-latex").text == "Copy LaTeX"
    page.script("delete navigator.clipboard; delete document.execCommand")


def test_changed_latex_is_drawn_again_or_refused_in_words(page, picture):
    page.give("paste", picture)
    page.answer()
    page.at("latex").clear()
    page.at("latex").send_keys(r"\sqrt{2}")
    page.wait(lambda: page.all("#rendering msqrt"))
    page.at("latex").send_keys(r" \frac")
    page.wait(lambda: "no formula can be drawn" in page.at("rendering").text)
    assert not page.at("copy-mathml").is_enabled()
    assert (
        float(page.style(page.at("copy-mathml"), "opacity")) < 1 == float(page.style(page.at("copy-latex"), "opacity"))
    )


def test_the_outer_lines_of_a_table_frame_it(page, picture):
    page.give("paste", picture)
    page.answer()
    page.at("latex").clear()
    page.at("latex").send_keys(r"\begin{array}{|cc|c|}\hline a&b&c\\\hline d&e&f\\g&h&i\\\hline\end{array}")
    page.wait(lambda: len(page.all("#rendering mtd")) == 9)
    (frame,) = page.all("#rendering .enclosed")
    assert {page.style(frame, f"border-{side}-style") for side in ("left", "right", "top", "bottom")} == {"solid"}
    cells = page.all("#rendering mtd")
    assert [page.style(cell, "border-right-style") for cell in cells] == ["none", "solid", "none"] * 3
    assert [page.style(cell, "border-bottom-style") for cell in cells] == ["solid"] * 3 + ["none"] * 6


@pytest.mark.parametrize(
    ("latex", "gaps"),
    [(r"\sin x", [17]), (r"\sin(x)", [0, 0, 0]), (r"a\max b", [17, 17]), ("|x|y", [0, 0, 0]), (r"\|x\|y", [0, 0, 0])],
)
def test_signs_stand_as_far_apart_as_in_tex(page, picture, latex, gaps):
    page.give("paste", picture)
    page.answer()
    page.at("latex").clear()
    page.at("latex").send_keys(latex)
    page.wait(lambda: page.at("copy-mathml").is_enabled())
    assert page.script(GAPS) == pytest.approx(gaps, abs=4)


def test_frames_strikes_rules_and_columns_are_drawn(page, picture):
    """Browsers' MathML knows none of these; what is copied says them in MathML's own words."""
    page.give("paste", picture)
    page.answer()
    page.at("latex").clear()
    page.at("latex").send_keys(
        r"\boxed{a} \cancel{b} \begin{array}{r|c} cc & d \\ \hline e & f \end{array}"
        r"\begin{cases} g & h \\ ii & jj \end{cases}"
    )
    page.wait(lambda: len(page.all("#rendering mtable")) == 2)
    page.wait(lambda: page.at("copy-mathml").is_enabled())

    def drawn(selector, style):
        return [page.style(element, style) for element in page.all(f"#rendering {selector}")]

    assert drawn(".box", "border-top-style") == ["solid"]
    (strike,) = drawn(".updiagonalstrike", "background-image")
    assert "rgb(" in strike
    assert drawn("mtd", "border-right-style")[:4] == ["solid", "none"] * 2
    assert drawn("mtd", "border-bottom-style")[:4] == ["solid"] * 2 + ["none"] * 2
    edges = page.script(
        "return [...document.querySelectorAll('#rendering mtd')].map((cell) => {"
        "const [first, last] = [cell.firstChild, cell.lastChild].map((one) => one.getBoundingClientRect());"
        "return [Math.round(first.left), Math.round(last.right)]})"
    )
    assert edges[0][1] == edges[2][1]  # on the right
    assert edges[4][0] == edges[6][0]  # on the left
    page.at("copy-mathml").click()
    page.wait(lambda: page.status() == "MathML copied.")
    assert '<menclose notation="box">' in page.clipboard() and 'columnlines="solid"' in page.clipboard()


def test_the_formula_is_never_taken_for_html(page, picture):
    page.give("paste", picture)
    page.answer()
    page.at("latex").clear()
    page.at("latex").send_keys(r"\text{<img src=x onerror=document.title=1>} \href{javascript:alert(1)}{y}")
    page.wait(lambda: page.all("#rendering mtext"))
    assert page.all("#rendering img, #rendering [href]") == []


def test_newer_answers_show_tokens_and_alternatives(stubbed):
    page = stubbed(RICH)
    page.give("paste", b"any")
    assert page.answer() == RICH["latex"]
    assert page.at("percent").text == "61 %"
    assert "may be cut off" in page.status()
    chips = [(chip.text, chip.get_attribute("class")) for chip in page.all("#tokens li")]
    assert chips == [(r"\frac", "sure"), ("1", "unsure"), ("2", "doubtful")]
    assert "right in validation" in page.at("sureness").get_attribute("title")
    assert page.all("#tokens li")[0].get_attribute("title") == "99 %, as the network has it, uncalibrated"
    first, other = page.all("#alternatives button")
    other.click()
    assert page.at("latex").get_property("value") == r"\frac{1}{z}"
    assert page.at("percent").text == "20 %" and not page.at("tokens").is_displayed()
    assert [button.get_attribute("aria-pressed") for button in (first, other)] == ["false", "true"]
    first.click()  # the way back
    assert page.at("latex").get_property("value") == RICH["latex"]
    assert page.at("percent").text == "61 %" and page.at("tokens").is_displayed()
    assert [button.get_attribute("aria-pressed") for button in (first, other)] == ["true", "false"]
    page.at("latex").send_keys("+1")
    assert [button.get_attribute("aria-pressed") for button in (first, other)] == ["false", "false"]


def test_what_the_server_says_of_tokens_and_alternatives_is_shown(page, page_server):
    picture = png(formula_picture(1))
    answer = page_server.request("POST", "/invocations?n_best=3&tokens=1", picture).json()
    page.give("paste", picture)
    assert page.answer() == answer["latex"]
    assert [chip.text for chip in page.all("#tokens li")] == [one["token"] for one in answer["tokens"]]
    shown = [code.text for code in page.all("#alternatives code")]
    assert shown == [other["latex"] for other in answer["n_best"]]
    assert page.at("alternatives").is_displayed() and len(shown) == 3


def test_an_empty_alternative_is_left_out(stubbed):
    answer = {"latex": "x", "tokens": ["x"], "confidence": 0.9, "truncated": False, "model_version": "stub"}
    page = stubbed({**answer, "n_best": [{"latex": "x", "confidence": 0.9}, {"latex": "", "confidence": 0.05}]})
    page.give("paste", b"any")
    assert page.answer() == "x"
    assert not page.at("alternatives").is_displayed()


def test_older_answers_leave_both_out(stubbed):
    page = stubbed({"latex": "x", "tokens": ["x"], "confidence": 0.9, "truncated": False, "model_version": "old"})
    page.give("paste", b"any")
    assert page.answer() == "x"
    assert not page.at("tokens").is_displayed() and not page.at("alternatives").is_displayed()


def test_the_servers_own_words_are_shown(page):
    page.give("paste", b"no picture")
    page.wait(lambda: page.at("status").get_attribute("class") == "error")
    assert page.status() == page.server.invoke(b"no picture").json()["error"]["message"]


def test_what_the_browser_cannot_show_leaves_the_way_in_explained(page):
    page.give("paste", b"no picture")
    page.wait(lambda: page.at("invitation").is_displayed() and not page.at("preview").is_displayed())


def test_a_busy_server_is_asked_again_when_it_says_so(page, picture, latex):
    page.script(BUSY)
    page.give("paste", picture)
    assert page.answer() == latex


def test_an_earlier_formula_is_never_shown_for_a_later_answer(page, picture, latex):
    """However slow the server: it isn't drawn, and its MathML isn't copied."""
    page.give("paste", picture)
    page.answer()
    page.script(NO_MATHML)
    page.give("paste", png(formula_picture(77)))
    page.wait(lambda: len(page.all("#history li")) == 2)
    page.wait(lambda: page.at("latex").get_property("value") != latex)
    assert page.all("#rendering > *") == [] and not page.at("copy-mathml").is_enabled()


def test_text_goes_into_the_field_also_with_a_picture_beside_it(page, picture):
    page.give("paste", picture)
    page.answer()
    assert page.script(TEXT_WITH_PICTURE) == [True, True, True]
    assert page.status() == "Done." and len(page.all("#history li")) == 1


def test_pasting_something_else_is_explained(page):
    page.give("paste", b"", "")
    page.wait(lambda: "no picture in what you gave" in page.status())


def test_a_server_that_is_gone_is_named(tiny_base_dir, chromium):
    with Server(tiny_base_dir, PAGE) as server:
        page = Page(chromium, server.wait_until_ready())
    page.give("paste", b"any")
    page.wait(lambda: "can't be reached" in page.status())


def test_earlier_answers_can_be_brought_back(page, page_server, picture, latex):
    other = png(formula_picture(77))
    for number, sent in enumerate((picture, other), 1):
        page.give("paste", sent)
        page.wait(lambda number=number: len(page.all("#history li")) == number)
    page.all("#history button")[-1].click()
    page.wait(lambda: page.answer() == latex)
    page.at("to-drawing").click()
    page.all("#history button")[-1].click()
    page.wait(lambda: page.at("preview").is_displayed())  # in the place of the sheet, which shows nothing of it
    for number in range(8):
        page.give("paste", png(formula_picture(200 + number)))
        page.answer()
    page.wait(lambda: len(page.all("#history li")) == 6)


def test_the_page_asks_for_the_key_and_keeps_it_in_this_tab(tiny_base_dir, chromium, picture, latex):
    with Server(tiny_base_dir, {**PAGE, "SERVE_API_KEY": KEY}) as server:
        page = Page(chromium, server.wait_until_ready())
        page.give("paste", picture)
        page.wait(lambda: page.at("key-dialog").is_displayed())
        assert page.at("key-refused").text == ""
        page.at("key").send_keys("wrong", Keys.ENTER)
        page.wait(lambda: page.at("key-refused").text == "That key was refused.")
        assert page.at("key-refused").aria_role == "alert"
        page.at("key").send_keys(KEY, Keys.ENTER)
        assert page.answer() == latex
        page.give("paste", picture)  # not asked again
        page.wait(lambda: len(page.all("#history li")) == 2)
        assert page.script("return [sessionStorage.length, localStorage.length, document.cookie]") == [1, 0, ""]


def test_a_browser_that_keeps_no_data_of_sites_will_do(tiny_base_dir, chromium, picture, latex):
    with Server(tiny_base_dir, {**PAGE, "SERVE_API_KEY": KEY}) as server:
        page = Page(chromium, server.wait_until_ready())
        refused = chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": NO_STORAGE})
        chromium.refresh()
        chromium.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", refused)
        page.give("paste", picture)
        page.wait(lambda: page.at("key-dialog").is_displayed())
        page.at("key").send_keys(KEY, Keys.ENTER)
        assert page.answer() == latex
        page.give("paste", picture)  # not asked again
        page.wait(lambda: len(page.all("#history li")) == 2)


def test_without_the_key_the_refusal_is_shown(tiny_base_dir, chromium, picture):
    with Server(tiny_base_dir, {**PAGE, "SERVE_API_KEY": KEY}) as server:
        page = Page(chromium, server.wait_until_ready())
        page.give("paste", picture)
        page.wait(lambda: page.at("key-dialog").is_displayed())
        page.at("key-cancel").click()
        page.wait(lambda: "Authorization: Bearer" in page.status())


def test_the_keyboard_alone_will_do(page, picture, latex):
    """Tab reaches every control, with a ring around it; Enter and Space work them."""
    page.give("paste", picture)
    page.answer()
    page.script("document.activeElement.blur()")
    reached = []
    for _ in range(20):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        name, ring = page.script(
            "const one = document.activeElement, shown = one.closest('label') ?? one;"
            "return [one.id, getComputedStyle(shown).outlineStyle]"
        )
        if name in reached:
            break
        if name:
            assert ring == "solid", name
            reached.append(name)
        if name == "copy-latex":
            ActionChains(page.driver).send_keys(Keys.ENTER).perform()
            page.wait(lambda: page.status() == "LaTeX copied.")
            assert page.clipboard() == latex
        if name == "to-drawing":
            ActionChains(page.driver).send_keys(Keys.SPACE).perform()
            assert page.at("pad").is_displayed()
            ActionChains(page.driver).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).perform()
            ActionChains(page.driver).send_keys(Keys.SPACE, Keys.TAB).perform()
            assert page.at("drop").is_displayed()
    assert reached == ["to-picture", "to-drawing", "file", "rendering", "latex", "copy-latex", "copy-mathml"]


def test_alternatives_and_earlier_answers_by_keyboard(stubbed):
    page = stubbed(RICH)
    for count in (1, 2):
        page.give("paste", b"any")
        page.wait(lambda count=count: len(page.all("#history li")) == count)
        page.answer()
    assert page.tab_to("#alternatives li:last-child button")
    page.press(Keys.ENTER)
    page.wait(lambda: page.answer() == r"\frac{1}{z}")
    assert page.tab_to("#history li:last-child button")
    page.press(Keys.SPACE)
    page.wait(lambda: page.answer() == RICH["latex"])


def test_what_a_screen_reader_needs_is_there(page):
    assert page.at("status").get_attribute("aria-live") == "polite"
    page.at("to-drawing").click()
    assert page.at("to-drawing").get_attribute("aria-pressed") == "true"
    unnamed = [
        control.get_attribute("outerHTML")
        for control in page.all("button, input, textarea, canvas, meter, section, dialog")
        if control.is_displayed() and not control.accessible_name
    ]
    assert unnamed == []


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_needs_no_sideways_scrolling(stubbed, width):
    page = stubbed({**RICH, "latex": LONG, "n_best": [{"latex": LONG + "+1", "confidence": 0.1}]})
    page.resize(width, 844)
    page.give("paste", b"any")
    page.answer()
    assert page.script("return document.documentElement.scrollWidth") <= width
    _, code = page.all("#alternatives code")
    assert page.script("return arguments[0].scrollWidth <= arguments[0].clientWidth", code)  # what differs is seen
    assert page.script("const box = document.getElementById('rendering'); return box.scrollWidth > box.clientWidth")
    assert float(page.style(page.at("latex"), "font-size").removesuffix("px")) >= 16  # else iOS zooms in on it
    page.at("to-drawing").click()
    assert page.script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("size", [175, 200])
def test_large_letters_on_a_phone_stick_out_nowhere(stubbed, size):
    page = stubbed(RICH)
    page.resize(360, 740)
    page.script(f"document.documentElement.style.fontSize = '{size}%'")
    page.give("paste", png(np.full((40, 400, 3), 255, np.uint8)))
    page.answer()
    assert page.script(OUTSIDE) == []
    assert all(code.size["width"] > 120 for code in page.all("#alternatives code"))  # not a letter a line
    page.at("to-drawing").click()
    assert page.script(OUTSIDE) == []


def test_a_small_phone_shows_what_went_wrong(page):
    page.resize(360, 640)
    page.give("paste", b"no picture")
    page.wait(lambda: page.at("status").get_attribute("class") == "error")
    page.wait(lambda: page.script("return document.getElementById('status').getBoundingClientRect().bottom") <= 640)


def test_a_finger_draws_and_taps(stubbed, own_base_dir):
    page = stubbed(RICH)
    page.resize(390, 600)
    page.draw(*CROSS, [(0, 40), (0, 0), (0, -40)], by="touch")
    assert page.script("return scrollY") == 0  # a stroke upwards moves the pen, not the page
    page.act("read-drawing", [(0, 0)], "touch")
    assert page.answer() == RICH["latex"]
    sent = cv2.imdecode(np.frombuffer((own_base_dir / "sent").read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert sent is not None and 0.02 < (sent < 128).mean() < 0.3
    page.act("to-picture", [(0, 0)], "touch")
    assert page.at("drop").is_displayed()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_and_can_be_read(stubbed, scheme):
    page = stubbed(RICH)
    page.prefer(scheme)
    page.give("paste", b"any")
    page.answer()
    (body,) = page.all("body")
    ground, text = page.style(body, "background-color"), page.style(body, "color")
    assert (luminance(ground) < luminance(text)) == (scheme == "dark")
    assert contrast(ground, text) > 7
    card = page.style(page.all(".card")[0], "background-color")
    assert contrast(card, page.style(page.at("status"), "color")) > 4.5
    assert page.style(page.at("preview"), "background-color") == "rgba(255, 255, 255, 1)"  # of a transparent picture
    for filled in page.all(".primary, #tokens li, #rendering, #latex"):
        assert contrast(page.style(filled, "background-color"), page.style(filled, "color")) > 4.5


def test_no_request_leaves_the_server(page, picture):
    page.give("paste", picture)
    page.answer()
    page.draw(*CROSS)
    page.at("read-drawing").click()
    page.wait(lambda: len(page.all("#history li")) == 2)
    asked = page.requests()
    assert f"{page.origin}/page/pad.js" in asked and f"{page.origin}/mathml" in asked
    assert [url for url in asked if not url.startswith((page.origin, "blob:", "data:"))] == []
    said = [complaint for complaint in page.complaints() if "/mathml" not in complaint]  # of LaTeX that can't be drawn
    assert said == []


def test_formulas_are_drawn_in_the_font_that_comes_with_the_page(page, picture):
    """Without one for mathematics a browser's integrals and brackets don't grow; few phones have one."""
    page.give("paste", picture)
    page.answer()
    page.wait(lambda: page.script("return [...document.fonts].map((font) => font.status)") == ["loaded"])
    assert f"{page.origin}/page/stix-two-math.woff2" in page.requests()
    assert "STIX Two Math" in page.style(page.all("#rendering math")[0], "font-family")


PLUS = [[(-15, 0), (0, 0), (15, 0)], [(0, -15), (0, 0), (0, 15)]]
ONES = [[(at, -28), (at, 0), (at, 28)] for at in (-60, 60)]


def test_the_shipped_model_reads_a_real_picture_and_a_drawing(shipped_server, chromium):
    page = Page(chromium, shipped_server)
    page.give("paste", (ROOT / "docs" / "real" / "boost-math-08.png").read_bytes())
    assert tokenize(normalize(page.answer())) == tokenize(normalize(r"E_1(x)=x+\log(x)+c+R(x)"))
    page.draw(ONES[0], *PLUS, ONES[1])
    page.at("read-drawing").click()
    page.wait(lambda: page.at("latex").get_property("value") == "1+1")
