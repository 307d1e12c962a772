"""Look at every page of the built documentation, and fail on what a reader would trip over.

    python -m sphinx -b html docs docs/_build/html
    python docs/look.py docs/_build/html [--pages index.html 'user_guide/*'] [--shots FOLDER]

A browser opens each page at 1280 and 390 pixels, in light and in dark. Reported are pages without a
title, links and anchors that lead nowhere, images that don't load, anything that is loaded from
another host, tables and pictures that are cut, pages that scroll sideways, text that can't be told
from its ground, and errors of scripts. Titles and links are checked on all pages, the rest on those
that `--pages` names. Without a Chromium that starts only titles and links are checked, and the
script says so.
"""

import argparse
import base64
import fnmatch
import functools
import http.server
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

SIZES = {"wide": 1280, "phone": 390}
SCHEMES = ("light", "dark")
PATIENCE = 120  # seconds
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")

# Runs in the page and returns what is wrong there.
LOOK = Path(__file__).with_suffix(".js").read_text(encoding="utf-8").partition("\n")[2].strip()


class Page(HTMLParser):
    """The title, the links and the anchors of a page."""

    def __init__(self, text):
        super().__init__()
        self.title, self.links, self.anchors, self._in_title = "", [], {""}, False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Note where a tag leads, and by which names it is found."""
        attrs = dict(attrs)
        self._in_title |= tag == "title" and not self.title
        self.anchors.update(attrs[name] for name in ("id", "name") if attrs.get(name))
        if tag == "a" and attrs.get("href"):
            self.links.append(attrs["href"])
        elif tag in ("img", "script") and attrs.get("src"):
            self.links.append(attrs["src"])

    def handle_endtag(self, tag):
        """Leave the title."""
        self._in_title &= tag != "title"

    def handle_data(self, data):
        """Read the title."""
        self.title += data if self._in_title else ""


def pages_of(folder):
    """List the pages, without the theme's templates."""
    return sorted(path for path in folder.rglob("*.html") if path.parent != folder / "_static")


def broken_links(folder):
    """Yield pages without a title, and links that lead nowhere, as (page, problem)."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in pages_of(folder)}
    for path, page in pages.items():
        where = path.relative_to(folder).as_posix()
        if not page.title.strip() or page.title.startswith("<"):
            yield where, f"has no title: {page.title!r}"
        for link in sorted(set(page.links)):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                yield where, f"broken link: {link}"
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield where, f"no such anchor: {link}"


class NoBrowserError(Exception):
    """There is no Chromium, or none that starts."""


class Browser:
    """Headless Chromium, spoken to through a pair of pipes."""

    def __init__(self, command, profile):
        read_end, self._write = os.pipe()
        self._read, write_end = os.pipe()
        flags = (
            "--headless=new --remote-debugging-pipe --no-sandbox --disable-gpu --no-first-run "
            "--disable-extensions --disable-background-networking --disable-component-update "
            "--hide-scrollbars --force-device-scale-factor=1"
        )
        shell = f'exec "$0" {flags} --user-data-dir="$1" about:blank 3<&{read_end} 4>&{write_end}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, command, profile],
            pass_fds=(read_end, write_end),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_end)
        os.close(write_end)
        self._count, self._rest, self.events, self._session = 0, b"", [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime"):
            self.call(f"{domain}.enable")

    def _message(self):
        while b"\0" not in self._rest:
            if not select.select([self._read], [], [], PATIENCE)[0]:
                raise RuntimeError(f"the browser has said nothing for {PATIENCE} seconds")
            data = os.read(self._read, 1 << 20)
            if not data:
                raise RuntimeError("the browser has ended")
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def call(self, method, **params):
        """Call a method of the DevTools protocol and return its result."""
        self._count += 1
        request = {"id": self._count, "method": method, "params": params}
        if self._session:
            request["sessionId"] = self._session
        os.write(self._write, json.dumps(request).encode() + b"\0")
        while True:
            message = self._message()
            if message.get("id") == self._count:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]
            self.events.append(message)

    def open(self, url):
        """Open a page and wait until it is loaded."""
        self.events = []
        self.call("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._message())

    def run(self, code):
        """Return the value of an expression in the page."""
        result = self.call(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"]["description"])
        return result["result"].get("value")

    def show(self, width, scheme):
        """Set the width of the window and the color scheme."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=media)
        # Two frames, so that what follows the size and the scheme has followed.
        self.run("new Promise((d) => requestAnimationFrame(() => requestAnimationFrame(d)))")

    def shoot(self, path):
        """Save a picture of the whole page."""
        height = self.run("Math.min(document.documentElement.scrollHeight, 12000)")
        width = self.run("innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        data = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(data))

    def close(self):
        """End the browser."""
        self._session = None
        self.call("Browser.close")
        self._process.wait(30)


def of_events(events, host):
    """Yield what a page loaded from elsewhere, and the errors of its scripts."""
    for event in events:
        params = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            address = urlsplit(params["request"]["url"])
            if address.scheme in ("http", "https") and address.netloc != host:
                yield f"loaded from elsewhere: {params['request']['url'][:100]}"
        elif event.get("method") == "Network.responseReceived":
            path = urlsplit(params["response"]["url"]).path
            # Browsers ask for an icon whether or not a page names one.
            if params["response"]["status"] >= 400 and path != "/favicon.ico":
                yield f"not found: {path}"
        elif event.get("method") == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            text = details.get("exception", {}).get("description", details["text"])
            yield f"script error: {text[:200]}"


def looked_at(folder, pages, command, shots):
    """Yield what is wrong on pages as a browser shows them, as (page, problem)."""
    handler = functools.partial(QuietHandler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{server.server_port}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        try:
            browser = Browser(command, profile)
        except (OSError, RuntimeError) as error:
            raise NoBrowserError(f"{command} doesn't start: {error}") from error
        try:
            for page in pages:
                browser.open(f"http://{host}/{page}")
                # What is folded is opened, and images below the fold are loaded now.
                browser.run(
                    "document.querySelectorAll('img').forEach((e) => e.loading = 'eager');"
                    "document.querySelectorAll('details').forEach((e) => e.open = true);"
                    "Promise.all([...document.images].map((e) => e.decode().catch(() => 0)))"
                )
                for size, width in SIZES.items():
                    for scheme in SCHEMES:
                        browser.show(width, scheme)
                        for problem in browser.run(f"({LOOK})({json.dumps(size == 'phone')})"):
                            yield f"{page} ({size}, {scheme})", problem
                        if shots is not None:
                            name = f"{page.removesuffix('.html')}_{size}_{scheme}.png"
                            browser.shoot(shots / name)
                for problem in dict.fromkeys(of_events(browser.events, host)):
                    yield page, problem
        finally:
            browser.close()
            server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serve files and say nothing."""

    def log_message(self, *args):
        """Say nothing."""


def browser_command():
    """Return the command of a Chromium."""
    command = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if command is None:
        raise NoBrowserError("there is no Chromium; install one, or name it in CHROMIUM")
    return command


def main():
    """Look, print what was found, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="the built documentation")
    parser.add_argument("--pages", nargs="+", default=["*"], help="pages to open, as patterns")
    parser.add_argument("--shots", type=Path, help="folder for pictures of the pages")
    options = parser.parse_args()
    folder = options.folder.resolve()
    names = [path.relative_to(folder).as_posix() for path in pages_of(folder)]
    # Listings of the source are long and plain; their links are checked all the same.
    pages = [
        name
        for name in names
        if any(fnmatch.fnmatch(name, pattern) for pattern in options.pages)
        and not re.match(r"_modules|genindex", name)
    ]
    if not names:
        parser.error(f"{folder} holds no pages; build them first")
    problems, opened = list(broken_links(folder)), len(pages)
    try:
        problems += looked_at(folder, pages, browser_command(), options.shots)
    except NoBrowserError as error:
        print(f"skipped the look: {error}")
        opened = 0
    for page, problem in problems:
        print(f"{page}: {problem}")
    print(f"{len(names)} pages, {opened} opened, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
