"""Chromium, driven by selenium; a test file that uses it is skipped where either is missing."""

from __future__ import annotations

import shutil

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MARKS = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
    # the driver's sockets and pipes are closed when it is collected
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1366,768",
)


def start_chromium(profile):
    """Start a browser whose profile lies in a folder of its own."""
    from selenium import webdriver
    from selenium.webdriver.chrome import service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=service.Service(DRIVER))
    driver.set_script_timeout(60)
    return driver


def wait(browser, condition):
    """Wait until the body of a function of JavaScript returns something true."""
    done = browser.execute_async_script(
        "const [condition, done] = arguments; const wanted = new Function(condition);"
        "const look = () => wanted() ? done(true) : setTimeout(look, 20); look();",
        condition,
    )
    assert done
