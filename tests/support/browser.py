"""The serving container's web page in headless Chromium: what a person does there, and what they see."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.server import Server

SECONDS = 15
GIVE = """
const [kind, data, type] = arguments;
const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
const transfer = new DataTransfer();
if (type) transfer.items.add(new File([bytes], "formula", {type}));
const options = {bubbles: true, cancelable: true, clipboardData: transfer, dataTransfer: transfer};
const event = kind === "paste" ? new ClipboardEvent(kind, options) : new DragEvent(kind, options);
document.getElementById(kind === "drop" ? "drop" : "to-picture").dispatchEvent(event);
"""


def start_chromium(program: str, driver: str) -> Chrome:
    """A headless browser that logs its requests."""
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in ("--headless=new", "--window-size=1280,900", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's sandbox refuses root
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    return Chrome(options, webdriver.ChromeService(driver))


class Page:
    """The page of a running server, freshly loaded: no key, nothing earlier, light, as wide as a desk's screen."""

    def __init__(self, driver: Chrome, server: Server) -> None:
        self.driver, self.server = driver, server
        self.origin = f"http://127.0.0.1:{server.port}"
        for log in ("performance", "browser"):
            driver.get_log(log)  # what earlier tests left
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self.prefer("light")
        driver.execute_cdp_cmd(
            "Browser.grantPermissions",
            {"origin": self.origin, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
        )
        driver.get(self.origin)
        driver.execute_script("sessionStorage.clear()")

    def at(self, name: str) -> WebElement:
        return self.driver.find_element(By.ID, name)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def script(self, text: str, *arguments: object) -> Any:
        return self.driver.execute_script(text, *arguments)

    def wait(self, what: Any) -> Any:
        """Until `what()` is true; its value."""
        waiting = WebDriverWait(self.driver, SECONDS, 0.05, [StaleElementReferenceException])
        return waiting.until(lambda _: what(), f"the page says {self.status()!r}")

    def status(self) -> str:
        return self.at("status").text

    def answer(self) -> str:
        """The LaTeX shown, once its formula is drawn beside it."""
        self.wait(lambda: self.at("answer").is_displayed() and self.all("#rendering > *"))
        return str(self.at("latex").get_property("value"))

    def give(self, kind: str, picture: bytes, media_type: str = "image/png") -> None:
        """Pastes or drops a picture; without a media type the clipboard has no file at all."""
        self.script(GIVE, kind, base64.b64encode(picture).decode(), media_type)

    def draw(self, *strokes: Sequence[tuple[int, int]], by: str = "mouse") -> None:
        """Strokes with the mouse, or by "touch" with a finger; points count from the middle of the sheet."""
        self.act("to-drawing", [(0, 0)], by)
        for stroke in strokes:
            self.act("pad", stroke, by)

    def act(self, name: str, points: Sequence[tuple[int, int]], by: str) -> None:
        """Presses the mouse or a finger on an element and moves it from point to point; on one, a click or a tap."""
        (x, y), *others = points
        actions = ActionBuilder(self.driver, mouse=PointerInput(by, by), duration=20)
        pointer = actions.pointer_action
        pointer.move_to(self.at(name), x, y).pointer_down()
        for next_x, next_y in others:
            pointer.move_by(next_x - x, next_y - y)
            x, y = next_x, next_y
        pointer.pointer_up()
        actions.perform()

    def tab_to(self, selector: str) -> bool:
        """Moves the focus forward until it is on the element; whether a ring around it shows that."""
        (wanted,) = self.all(selector)
        for _ in range(30):
            ActionChains(self.driver).send_keys(Keys.TAB).perform()
            if self.driver.switch_to.active_element == wanted:
                return self.style(wanted, "outline-style") == "solid"
        raise AssertionError(f"Tab never reaches {selector}")

    def press(self, key: str) -> None:
        ActionChains(self.driver).send_keys(key).perform()

    def clipboard(self) -> str:
        return str(self.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])"))

    def style(self, element: WebElement, name: str) -> str:
        return str(element.value_of_css_property(name))

    def prefer(self, scheme: str) -> None:
        """Light or dark, as the reader's system has it."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def requests(self) -> list[str]:
        """Every address that was asked for since the page was loaded."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]

    def complaints(self) -> list[str]:
        """Errors in the browser's console, refusals by the Content-Security-Policy among them."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
