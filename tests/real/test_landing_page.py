"""The landing page as a real browser shows it: search, sort, phone, dark; nobody else is asked."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from otel_emqx_monitor.agent import Agent
from otel_emqx_monitor.config import Config
from otel_emqx_monitor.simulator import Broker, Simulator, StaticFleet
from tests.real.agents import ALL_FLAGS, config_on, running
from tests.real.chromium import Browser, chromium

pytestmark = [pytest.mark.real("chromium"), pytest.mark.real("chromedriver")]

HOSTILE = '<img src=x onerror="document.title=1">"\'</script><script>document.title=1</script>'
WIDE = "W" * 300


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    rows = [
        {
            "clientid": f"dev-{number}",
            "username": f"user-{number % 7}",
            "connected": number % 10 != 0,
            "connected_at": "2026-11-22T17:20:32.376+00:00",
            "created_at": "2026-11-22T17:20:32.376+00:00",
            "recv_msg": number * 7 % 301,
            "recv_oct": number * 10**9,
            "send_msg": 0,
        }
        for number in range(301)
    ]
    rows += [{"clientid": one, "username": one, "connected": True} for one in (HOSTILE, WIDE)]
    with Simulator(Broker(source=StaticFleet(rows))) as running_simulator:
        yield running_simulator


@pytest.fixture(scope="module")
def agent(simulator: Simulator) -> Iterator[Agent]:
    watched = config_on(simulator, ["gone"], ALL_FLAGS).model_dump(exclude_defaults=True)
    watched["emqx"] |= {"api_key": simulator.broker.key, "api_secret": simulator.broker.secret}
    watched["emqx"]["alias"] = HOSTILE
    watched["monitored_clients"] = [
        {"alias": "Boiler", "client_id": "gone", "expected_every_seconds": 0.001},
        {"client_id_glob": "*"},
    ]
    with running(Config.model_validate(watched)) as serving:
        yield serving


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def quiet(browser: Browser, agent: Agent) -> Iterator[None]:
    """Whatever a test does: the console stays empty, and nobody but the agent is asked."""
    browser.driver.get("about:blank")
    assert browser.console is not None
    assert browser.hosts is not None
    yield
    assert browser.console == []
    assert browser.hosts == {urlsplit(agent.url).netloc}


NAMES = "td.name .alias"
HEAD = "th[aria-sort] a"


def test_typing_searches(browser: Browser, agent: Agent) -> None:
    browser.open(agent.url, 1280, 900)
    assert len(browser.text(NAMES)) == 200
    browser.type("input[name=q]", "DEV-30")
    browser.wait_for(NAMES, ["dev-30", "dev-300"])
    assert browser.text(".counted") == ["2 clients"]
    assert browser.driver.current_url == f"{agent.url}?q=DEV-30&sort=name"
    assert browser.run("return document.activeElement.name") == "q"
    browser.driver.refresh()
    browser.wait_for(NAMES, ["dev-30", "dev-300"])


def test_states_and_heads_filter_and_sort_in_place(browser: Browser, agent: Agent) -> None:
    browser.open(agent.url, 1280, 900)
    browser.run("window.same = true")
    browser.click("#tiles a[href*=disconnected]")
    browser.wait_for(".counted", ["31 clients"])
    assert browser.run("return document.forms[0].elements.state.value") == "disconnected"
    browser.click("th a[href*='-received#']")
    browser.wait_for(HEAD, ["Received"])
    received = browser.text("td[data-label=Received]")
    assert received == sorted(received, key=int, reverse=True)
    browser.click("th a[href*='=received#']")
    browser.wait_for("th[aria-sort=ascending] a", ["Received"])
    browser.type("input[name=q]", "dev-12")
    browser.wait_for(NAMES, ["dev-120"])
    assert browser.text(HEAD) == ["Received"]
    assert browser.run("return window.same") is True


def test_pages_can_be_turned(browser: Browser, agent: Agent) -> None:
    browser.open(agent.url, 1280, 900)
    browser.click("#listing nav a")
    browser.wait_for("#listing nav span", ["Page 2 of 2"])
    assert len(browser.text(NAMES)) == 104
    assert (
        browser.run("return document.getElementById('clients').getBoundingClientRect().top") < 900
    )


def test_all_of_it_works_without_the_script(browser: Browser, agent: Agent) -> None:
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open(agent.url, 1280, 900)
        browser.type("input[name=q]", "dev-30")
        browser.click("form button")
        browser.wait_for(NAMES, ["dev-30", "dev-300"])
        browser.click("#tiles a[href*=disconnected]")
        browser.wait_for(".counted", ["2 clients"])
        browser.click("th a[href*='-received#']")
        browser.wait_for(NAMES, ["dev-300", "dev-30"])
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_hostile_names_are_only_text(browser: Browser, agent: Agent) -> None:
    browser.open(f"{agent.url}?q=%3Cimg", 1280, 900)
    assert browser.text(NAMES) == [HOSTILE]
    assert browser.text("h1") == [HOSTILE]
    assert browser.driver.title == f"{HOSTILE} – otel-emqx-monitor"
    assert browser.run("return document.images.length") == 0
    browser.type("input[name=q]", " src")
    browser.wait_for(".counted", ["1 client"])
    assert browser.run("return document.forms[0].elements.q.value") == "<img src"


@pytest.mark.parametrize("width", [320, 390, 768, 1024, 1100, 1280, 1920])
@pytest.mark.parametrize("query", ["", "?q=W"])
def test_nothing_scrolls_sideways(browser: Browser, agent: Agent, width: int, query: str) -> None:
    browser.open(agent.url + query, width, 844)
    script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.run(script) == 0


#: The contrast of text that is shown with what lies behind it, the lowest of each kind, as WCAG 2
#: defines it.
CONTRAST = """
const parse = (color) => color.match(/[\\d.]+/g).map(Number);
const light = (color) => {
  const [r, g, b] = parse(color).map((one) => one / 255)
    .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let one = element; one; one = one.parentElement) {
    const color = getComputedStyle(one).backgroundColor;
    const [, , , alpha] = parse(color);
    if (alpha !== 0) return color;
  }
  return "rgb(255, 255, 255)";
};
const low = {};
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
  if (!own) continue;
  const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) low[element.tagName + "." + element.className] = ratio;
}
return [low, light(behind(document.body))];
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(
    browser: Browser, agent: Agent, simulator: Simulator, scheme: str
) -> None:
    browser.open(agent.url, 1280, 900, scheme)
    low, ground = browser.run(CONTRAST)
    assert low == {}
    assert ground < 0.05 if scheme == "dark" else ground > 0.8
    assert browser.text(".state.overdue") == ["overdue"]
