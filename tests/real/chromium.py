"""A real headless Chromium, driven by Debian's chromedriver."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium import webdriver

from tests.processes import wait_until

#: As root Chromium wants no sandbox; the rest keeps it from asking anybody but the agent.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


class Browser:
    """One window; ``driver`` is Selenium's."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str, width: int, height: int, scheme: str = "light") -> None:
        """Open a page in a window of that size, with that preferred colour scheme."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        self.driver.get(url)

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what the body of a function returns in the page."""
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str) -> list[str]:
        """Return the visible text of all elements that ``selector`` finds."""
        script = "return [...document.querySelectorAll(arguments[0])].map(one => one.innerText)"
        return [str(one) for one in self.run(script, selector)]

    def wait_for(self, selector: str, texts: list[str]) -> None:
        """Wait until the elements that ``selector`` finds have just these texts."""
        wait_until(lambda: self.text(selector) == texts)

    def click(self, selector: str) -> None:
        self.driver.find_element("css selector", selector).click()

    def type(self, selector: str, text: str) -> None:
        self.driver.find_element("css selector", selector).send_keys(text)

    @property
    def console(self) -> list[str]:
        """What the console has said since the last time it was asked."""
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call] # it is not typed
        return [str(entry["message"]) for entry in entries]

    @property
    def hosts(self) -> set[str]:
        """Whom the pages have asked for anything since the last time this was asked."""
        entries = self.driver.get_log("performance")  # type: ignore[no-untyped-call] # it is not typed
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        urls = [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]
        return {urlsplit(url).netloc for url in urls if not url.startswith("data:")}


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """Run a browser that keeps what it has to keep in ``folder``."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (*_FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService("/usr/bin/chromedriver")
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield Browser(driver)
    finally:
        driver.quit()
