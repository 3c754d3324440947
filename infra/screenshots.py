"""Take the README's pictures from a running installation: `.venv/bin/python infra/screenshots.py`.

Chromium is looked for on the path; nothing else is needed. Look at every picture before it is committed.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PAGES = {
    # picture: (path in the web UI, width, height)
    "asset_graph": ("/asset-groups", 1900, 900),
    "campaign_metrics": ("/assets/campaign_metrics?view=partitions&partition=glow-serum", 1700, 1250),
    "portfolio": ("/assets/portfolio_metrics?view=overview", 1700, 2300),
}
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=30000",  # the UI asks GraphQL again and again; give it this much of its own time
)


def main() -> int:
    """One picture after the other; the exit code counts those that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:3000")
    parser.add_argument("--only", choices=sorted(PAGES))
    options = parser.parse_args()
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        print("no Chromium on the path; on Debian: apt-get install chromium", file=sys.stderr)
        return 1
    IMAGES.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name, (path, width, height) in PAGES.items():
        if options.only in (None, name):
            failed += not take(browser, f"{options.url}{path}", IMAGES / f"{name}.png", width, height)
    return failed


def take(browser: str, url: str, target: Path, width: int, height: int) -> bool:
    """One picture; whether it was written."""
    target.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="cheerful-chromium-") as profile:
        command = [browser, *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"]
        subprocess.run([*command, f"--screenshot={target}", url], capture_output=True, timeout=120, check=False)
    print(f"{target.name}: {'taken' if target.exists() else 'FAILED'}")
    return target.exists()


if __name__ == "__main__":
    sys.exit(main())
