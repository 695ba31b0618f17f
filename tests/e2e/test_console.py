"""Tests the operator's web console against the local stack: what it shows, what it changes, and whom it lets in."""

from __future__ import annotations

import html
import http.client
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode, urljoin

import pytest

import partners
import scenarios
from layout import BINARIES
from scenarios import Stage
from test_command_line import operators_environment
from test_heal import unknown_redemption
from test_secrecy import personal
from waiting import eventually

_STACK = "ticket-relay-local"
#: No page is larger, in bytes; that of an order may have this much more.
_LARGEST, _LARGEST_ORDER = 60_000, 100_000
_PLANTED = '<script>alert("planted")</script>\u202egnp.exe'


@dataclass
class Shown:
    """An answer of the console."""

    status: int
    headers: dict[str, str]
    text: str

    def token(self) -> str:
        """The token of the page's forms."""
        found = re.search(r'name="token" value="([0-9a-f]+)"', self.text)
        assert found, self.text[:400]
        return found[1]


@dataclass
class Browser:
    """One person's browser, or an attacker's program."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> Shown:
        """Sends a request with exactly these headers besides host and cookies."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        shown = Shown(answer.status, dict(answer.getheaders()), answer.read().decode())
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie":
                cookie, _, _ = value.partition(";")
                self.cookies.update([cookie.split("=", 1)])
        connection.close()
        return shown

    def get(self, page: str, language: str = "en") -> Shown:
        """Opens a page of the stack."""
        self.cookies[f"relay_language_{self.port}"] = language
        return self.ask("GET", f"/{_STACK}/{page}")

    def post(self, page: str, values: dict[str, str] | list[tuple[str, str]], **headers: str) -> Shown:
        """Sends a form like a page of the console does, unless other headers are given."""
        own = {"Origin": f"http://127.0.0.1:{self.port}", "Sec_Fetch_Site": "same-origin"}
        own["Content_Type"] = "application/x-www-form-urlencoded"
        return self.ask("POST", f"/{_STACK}/{page}", urlencode(values), **{**own, **headers})

    def act(self, address: str, **values: str) -> Shown:
        """Opens the page of an action and sends its form."""
        form = self.get(address)
        assert form.status == 200, form.text
        hidden = dict(re.findall(r'<input type="hidden" name="([a-z]+)" value="([^"]*)"', form.text))
        hidden.pop("back", None)
        hidden["token"] = re.findall(r'name="token" value="([0-9a-f]+)"', form.text)[0]
        return self.post(address.partition("?")[0], {**hidden, **values})


@dataclass
class Console:
    """A running console."""

    process: subprocess.Popen[str]
    port: int
    first: str

    def start_path(self) -> str:
        """A new address that starts a session, as the terminal shows it after Enter."""
        assert self.process.stdin and self.process.stderr
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stderr.readline()
        return "/start?" + line.strip().partition("/start?")[2]

    def browser(self) -> Browser:
        """A browser with a session."""
        browser = Browser(self.port)
        started = browser.ask("GET", self.start_path())
        assert started.status == 200 and f"/{_STACK}/now" in started.headers["refresh"], started
        return browser


@pytest.fixture(scope="module")
def console(relay: Any) -> Iterator[Console]:
    """The console of the suite's stack."""
    environment = operators_environment(Stage(relay))
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [BINARIES / "relay", "console", "--port", "0"], env=environment, stdin=pipe, stderr=pipe, text=True
    )
    assert process.stderr
    line = process.stderr.readline()
    found = re.search(r"http://127\.0\.0\.1:(\d+)(/start\?token=[0-9a-f]{64})", line)
    assert found, line
    process.stderr.readline()
    yield Console(process, int(found[1]), found[2])
    process.terminate()
    process.wait(10)


class _Elements(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend(attrs)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def _check(page: str, shown: Shown) -> None:
    """Checks what holds for every page."""
    largest = _LARGEST_ORDER if page.startswith("order?") else _LARGEST
    assert len(shown.text.encode()) <= largest, f"{page} has {len(shown.text.encode())} bytes"
    elements = _Elements(shown.text)
    assert "style" not in dict(elements.attributes), page
    assert not [name for name, _ in elements.attributes if name.startswith("on")], page
    assert elements.tags.count("script") == 1 and elements.tags.count("h1") == 1, page
    tables = elements.tags.count("table")
    assert elements.tags.count("caption") == tables, page
    words = " ".join(elements.words)
    keys = re.findall(r"\b(?:now|order|action|state|why|frame|foot|error|outcome|status|push|said)\.[a-z_]+\b", words)
    assert not keys, f"{page} shows keys instead of texts: {keys}"
    for value in personal().values():
        assert value not in shown.text, page


def _told(stage: Stage) -> str:
    """An order with two notifications that differ, whose call succeeded."""
    order_id, alitrip_id = stage.new_order("sctt"), stage.new_alitrip_id()
    stage.notify_sctt(partners.sctt_push(order_id, partners.FAILED, remark="sold out"))
    stage.await_notifications("sctt", order_id, "waiting")
    stage.notify_sctt(partners.sctt_push(order_id, partners.BOOKED, scenarios.vouchers(1)))
    stage.link("sctt", order_id, scenarios.fliggy_ship(alitrip_id, tickets=1))
    stage.await_calls("sctt", order_id, "ship-notify", "succeeded")
    return order_id


def _waiting(stage: Stage) -> str:
    order_id = stage.new_order("tsy")
    stage.notify_tsy(partners.tsy_issued(order_id))
    stage.await_notifications("tsy", order_id, "waiting")
    return order_id


def _refused(stage: Stage) -> str:
    order_id, alitrip_id = stage.new_order("sctt"), stage.new_alitrip_id()
    stage.link("sctt", order_id, scenarios.fliggy_ship(alitrip_id, tickets=1))
    stage.simulator.fail("ship-notify", alitrip_id, "business_failure")
    stage.notify_sctt(partners.sctt_push(order_id, partners.BOOKED, scenarios.vouchers(1)))
    stage.await_notifications("sctt", order_id, "attention")
    return order_id


def test_every_page_is_whole_in_both_languages(stage: Stage, console: Console) -> None:
    told, waiting, refused = _told(stage), _waiting(stage), _refused(stage)
    browser = console.browser()
    order = stage.relay.order("sctt", told)
    first, second = (one["digest"] for one in order["notifications"])
    call = order["calls"][0]
    pages = {
        "now": refused,
        "unfinished": waiting,
        "unfinished?state=waiting&since=2h&partner=tsy": waiting,
        f"order?partner=sctt&id={told}": "Voucher push: booked",
        f"order?partner=sctt&id={told}&open={second}": "[redacted]",
        f"order?partner=sctt&id={refused}": "Refused",
        f"order?partner=tsy&id={waiting}": "has not linked",
        f"call?call=ship-notify&key={call['key']}": "Succeeded",
        f"difference?partner=sctt&id={told}&from={first}&to={second}": "order_status",
        "orders": "Order, call or number",
        "orders?q=no-such-id": "Nothing found",
        "dead-letters": "Dead letters",
        "unreadable": "Unreadable",
        "live": "Live",
        "report?since=1h": "voucher-push",
        "health": "TOP",
        "act?do=pause&call=ship-notify": "Pause ship-notify?",
        f"act?do=close&partner=tsy&id={waiting}": f"Close tsy {waiting}?",
    }
    links: set[tuple[str, str]] = set()
    for page, expected in pages.items():
        shown = browser.get(page)
        assert shown.status == 200 and expected in shown.text, f"{page}: {shown.status} {expected}\n{shown.text}"
        _check(page, shown)
        chinese = browser.get(page, "zh")
        assert chinese.status == 200 and '<html lang="zh"' in chinese.text and "未完成" in chinese.text
        _check(page, chinese)
        links |= {(page, link) for link in re.findall(r'<a [^>]*href="([^"]+)"', shown.text)}
        assert set(re.findall(r'action="([^"]+)"', shown.text)) <= {
            "orders",
            "settings",
            "act",
            "bulk",
            "unfinished",
            "live",
            "report",
        }
    # Relative to the page, as a browser reads them.
    addresses = {urljoin(f"/{_STACK}/{page}", html.unescape(link)).partition("#")[0] for page, link in links}
    for address in sorted(addresses):
        answer = browser.ask("GET", address)
        assert answer.status in (200, 303), f"{address}: {answer.status} {answer.text[:300]}"
    missing = browser.get("order?partner=tsy&id=NO-SUCH")
    assert missing.status == 404 and "No such order" in missing.text
    found = browser.ask("GET", f"/{_STACK}/orders?q={told}")
    assert found.status == 303 and found.headers["location"].endswith(f"order?partner=sctt&id={told}")


def test_only_the_holder_of_the_token_gets_in(console: Console) -> None:
    stranger = Browser(console.port)
    for path in ("/", f"/{_STACK}/now", f"/{_STACK}/order?partner=sctt&id=T-1", "/start?token=" + "0" * 64, "/start"):
        shown = stranger.ask("GET", path)
        assert shown.status == 403 and "Needs you" not in shown.text, path
    path = console.start_path()
    started = stranger.ask("GET", path)
    cookie = started.headers["set-cookie"]
    assert started.status == 200 and "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert Browser(console.port).ask("GET", path).status == 403, "a token that was used"
    shown = stranger.get("now")
    assert shown.status == 200
    policy = shown.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert shown.headers["cache-control"] == "no-store"
    assert shown.headers["referrer-policy"] == "same-origin"
    for host in ("localhost", f"localhost:{console.port}", "127.0.0.1", f"evil.example:{console.port}"):
        assert stranger.ask("GET", f"/{_STACK}/now", Host=host).status == 403, host


def test_forms_of_other_pages_are_refused(stage: Stage, console: Console) -> None:
    order_id = _waiting(stage)
    browser = console.browser()
    address = f"act?do=close&partner=tsy&id={order_id}"
    values = {"do": "close", "partner": "tsy", "id": order_id, "note": "attack"}
    attacks: list[dict[str, str]] = [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": ""},
    ]
    for headers in attacks:
        with_token = {**values, "token": browser.get(address).token()}
        assert browser.post("act", with_token, **headers).status == 403, headers
    assert browser.post("act", values).status == 409, "no token"
    assert browser.post("act", {**values, "token": "0" * 96}).status == 409
    stolen = {**values, "token": console.browser().get(address).token()}
    assert browser.post("act", stolen).status == 409, "another session's token"
    without_session = Browser(console.port).post("act", {**values, "token": browser.get(address).token()})
    assert without_session.status == 403
    assert "stopped" not in stage.relay.order("tsy", order_id)
    form = {**values, "token": browser.get(address).token()}
    assert browser.post("act", form).status == 303
    assert browser.post("act", form).status == 409, "a form that is sent twice"


def test_actions_ask_first_and_say_what_came_of_them(stage: Stage, console: Console) -> None:
    order_id = _waiting(stage)
    browser = console.browser()
    revision = stage.relay.order("tsy", order_id)["revision"]
    address = f"act?do=close&partner=tsy&id={order_id}&revision={revision}"
    without_note = browser.act(address, note=" ")
    assert without_note.status == 400 and "Write a note" in without_note.text
    done = browser.act(address, note=_PLANTED)
    assert done.status == 303, done.text
    page = done.headers["location"]
    stage.wait_until_idle()
    shown = eventually("the order is closed", lambda: browser.get(page), lambda shown: "closed it" in shown.text)
    assert "Closed." in shown.text
    assert "<script>alert" not in shown.text and "\u202e" not in shown.text
    assert "&lt;script&gt;alert" in shown.text and "\\u202e" in shown.text
    changed = browser.act(address, note="again")
    assert changed.status == 409 and "Nothing was changed" in changed.text and "again" in changed.text


def test_pause_is_shown_on_every_page_until_it_is_resumed(stage: Stage, console: Console) -> None:
    browser = console.browser()
    assert browser.act("act?do=pause&call=ticket-refund-notify", note="TOP asked us to").status == 303
    try:
        for page in ("now", "unfinished", "orders"):
            shown = browser.get(page)
            assert "ticket-refund-notify is paused since" in shown.text and "TOP asked us to" in shown.text
        stage.wait_until_idle()
    finally:
        assert browser.act("act?do=resume&call=ticket-refund-notify").status == 303
    assert "is paused since" not in browser.get("now").text


def test_assets_are_kept_and_other_stacks_are_named(console: Console) -> None:
    browser = console.browser()
    shown = browser.get("now")
    for path in re.findall(r'(?:href|src)="(/assets/[^"]+)"', shown.text):
        asset = browser.ask("GET", path)
        assert asset.status == 200 and "immutable" in asset.headers["cache-control"], path
        assert len(asset.text.encode()) <= (16 if path.endswith("css") else 10) * 1024, path
    other = browser.ask("GET", "/other-stack/now")
    assert other.status == 404 and "relay --stack other-stack console" in other.text


def test_bulk_plan_is_what_the_run_does(stage: Stage, console: Console) -> None:
    ids = [_waiting(stage) for _ in range(4)]
    browser = console.browser()
    listed = browser.get("unfinished?state=waiting&since=10m&partner=tsy")
    ticks = [html.unescape(tick) for tick in re.findall(r'name="sel" value="([^"]+)"', listed.text)]
    ticked = [tick for tick in ticks if any(order_id in tick for order_id in ids)]
    assert len(ticked) == 4
    # One has changed since the list was shown, and still waits.
    stage.notify_tsy(partners.tsy_issued(ids[3]))
    stage.wait_until_idle()
    form = [("token", listed.token()), ("state", "waiting"), ("scope", "selected"), ("action", "close")]
    planned = browser.post("bulk", form + [("sel", tick) for tick in ticked])
    assert planned.status == 303, planned.text
    plan = planned.headers["location"]
    shown = browser.get(plan)
    assert shown.status == 200 and "Close 3 records" in shown.text and "Left out: 1" in shown.text, shown.text
    _check("bulk", shown)
    run = {"id": plan.partition("=")[2], "step": "start", "rate": "20"}
    without_note = browser.post("bulk", {**run, "token": shown.token()})
    assert "Write a note" in without_note.text
    assert browser.post("bulk", {**run, "token": shown.token(), "note": "tests"}).status == 409, "used token"
    started = browser.post("bulk", {**run, "token": browser.get(plan).token(), "note": "tests"})
    assert started.status == 303
    ended = eventually("the run ended", lambda: browser.get(plan), lambda shown: "Done." in shown.text)
    assert "3 done · 0 failed · 0 skipped · 0 not touched" in ended.text
    stopped = [stage.relay.order("tsy", order_id).get("stopped") for order_id in ids]
    assert stopped == ["closed", "closed", "closed", None]


def test_unknown_redemption_is_sent_again_only_with_consent(stage: Stage, console: Console) -> None:
    key = stage.new_id("redemption")
    unknown_redemption(stage, key, "timeout_after_effect")
    browser = console.browser()
    address = f"act?do=resolve&call=ticket-verify&key={key}&attempt=1"
    assert "Choose an outcome" in browser.act(address, note="n").text
    refused = browser.act(address, note="asked TOP", outcome="retry")
    assert refused.status == 400 and "late request may still take effect" in refused.text
    stage.await_submitted("ticket-verify", key, "unknown")
    done = browser.act(address, note="asked TOP", outcome="succeeded")
    assert done.status == 303, done.text
    stage.await_submitted("ticket-verify", key, "succeeded")
