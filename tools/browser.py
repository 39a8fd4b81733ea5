"""JupyterLab and Voila on a folder of their own, and a browser page to open them in."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat

TOKEN = secrets.token_hex(16)
"""The server runs any code that it receives, so nobody else on the machine may know this."""

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT = 120_000
"""Milliseconds to wait for a page on a busy machine."""

RUN_ALL = """async () => {
    const app = window.jupyterapp, panel = app.shell.currentWidget;
    await panel.context.ready;
    await panel.sessionContext.ready;
    await panel.sessionContext.session.kernel.info;
    await app.commands.execute('notebook:run-all-cells');
}"""
"""Runs the open notebook without using menus, and waits for the last cell."""

START_ALL = f"() => {{ ({RUN_ALL})(); }}"
"""The same without waiting, to look at the page while a cell runs."""


def write_notebook(path: Path, cells: Sequence[str]) -> None:
    """Write code cells as a notebook."""
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    notebook.metadata.kernelspec = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    nbformat.write(notebook, path)


@contextlib.contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """Serve a folder with JupyterLab while the block runs, and yield the address.

    JupyterLab saves the notebooks that it opens, so the folder should contain copies.
    """
    port = _free_port()
    own = folder / f".server-{port}"
    extension = own / "settings/@jupyterlab/apputils-extension"
    extension.mkdir(parents=True)
    # Otherwise, a dialog asks whether to fetch news.
    settings = '{"fetchNews": "false", "checkForUpdates": false}'
    (extension / "notification.jupyterlab-settings").write_text(settings)
    command = [
        *("jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root"),
        *("--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"),
        *(f"--ServerApp.root_dir={folder}", "--expose-app-in-browser"),
    ]
    base = f"http://127.0.0.1:{port}"
    with _serving(command, folder, own, f"{base}/api/status?token={TOKEN}"):
        yield base


@contextlib.contextmanager
def voila(notebook: Path) -> Iterator[str]:
    """Serve one notebook as an app while the block runs, and yield the address."""
    port = _free_port()
    own = notebook.parent / f".server-{port}"
    own.mkdir()
    options = ["--no-browser", "--Voila.ip=127.0.0.1", f"--port={port}"]
    base = f"http://127.0.0.1:{port}"
    # The page itself would run the notebook; this file is served as soon as the server is up.
    probe = f"{base}/voila/static/voila.js"
    with _serving(["voila", notebook.name, *options], notebook.parent, own, probe):
        yield base


@contextlib.contextmanager
def browser_page(profile: Path) -> Iterator[Any]:
    """Open a page of Chromium with a new profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile),
            executable_path=CHROMIUM,
            args=list(_FLAGS),
            viewport={"width": 1400, "height": 1300},
        )
        page = context.pages[0] if context.pages else context.new_page()
        page.set_default_timeout(WAIT)
        try:
            yield page
        finally:
            context.close()


def open_in_lab(page: Any, base: str, name: str) -> Any:
    """Open a notebook in JupyterLab, and return the part of the page that contains it."""
    page.goto(f"{base}/lab/tree/{name}?token={TOKEN}&reset")
    panel = page.locator(".jp-NotebookPanel:visible")
    panel.locator(".jp-Cell").first.wait_for()
    page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.sessionContext?.isReady")
    return panel


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def _serving(command: Sequence[str], folder: Path, own: Path, probe: str) -> Iterator[None]:
    """Run a server with its own settings while the block runs, after it has answered."""
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(own / "config"),
        "JUPYTER_RUNTIME_DIR": str(own / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(own / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(own / "workspaces"),
    }
    log = own / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_for(probe, server, log)
            yield
        finally:
            server.terminate()
            server.wait(30)


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        if server.poll() is not None:
            raise RuntimeError(f"the server ended: {log.read_text()}")
        try:
            urllib.request.urlopen(address, timeout=1).close()
        except OSError:
            time.sleep(0.25)
        else:
            return
    raise TimeoutError(f"no answer from {address}: {log.read_text()}")
