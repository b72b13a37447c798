"""What the browser tests share; `python -m tests.browser` prints the path of their Chromium, or fails without one."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

SETTINGS = {
    # By default only the cells in sight are in the page. This way all are, and those in sight are laid out.
    "notebook-extension/tracker": {"windowingMode": "contentVisibility"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def executable() -> str | None:
    """The system's Chromium, else the one that Playwright downloaded, else None."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


@contextlib.contextmanager
def jupyterlab(folder: Path, command: Sequence[str] = (), **environment: str) -> Iterator[str]:
    """The address of a JupyterLab that serves a folder, with these additional environment variables.

    Args:
        command: that starts it; by default plain JupyterLab.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    command = command or [sys.executable, "-m", "jupyterlab", "--allow-root", f"--ServerApp.root_dir={folder}"]
    command = [*command, "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token="]
    home = folder / ".home"
    for name, values in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    own = {"HOME": str(home), "JUPYTERLAB_SETTINGS_DIR": str(home / "settings")}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=os.environ | own | environment, cwd=folder, **quiet) as process:
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"{address}/api/status", timeout=5).close()
                    break
                except urllib.error.URLError:
                    assert process.poll() is None, "JupyterLab ended"
                    time.sleep(0.25)
            yield address
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()  # JupyterLab was seen to wait for a lock of its own for ever


@contextlib.contextmanager
def chromium(width: int = 1400, height: int = 1200) -> Iterator[Page]:
    """A page of a new browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable())
        yield browser.new_context(viewport={"width": width, "height": height}).new_page()
        browser.close()


if __name__ == "__main__":
    path = executable()
    sys.exit("no Chromium") if path is None else print(path)
