"""Pages in headless Chromium: what is left in them when their scripts have run."""

import pathlib
import shutil
import subprocess

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((found for found in map(shutil.which, _NAMES) if found), None)


def browse(page: pathlib.Path, *options: str, patience_ms: int) -> subprocess.CompletedProcess[str]:
    """The page as HTML on standard output; its profile lies beside it.

    Args:
        page: HTML file.
        options: further ones of Chromium.
        patience_ms: of the page's own clock, for its scripts.
    """
    assert CHROMIUM is not None
    return subprocess.run(
        [
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--no-first-run", f"--user-data-dir={page.parent / 'profile'}"),
            *(f"--virtual-time-budget={patience_ms}", *options, "--dump-dom"),
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
