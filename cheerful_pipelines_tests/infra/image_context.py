"""What Docker would send as an image's context: by its documented rules, and by the docker command itself.

The rules (docs.docker.com, ".dockerignore"): patterns in order, the last one that matches decides, `!` takes back in, a
pattern that matches a folder matches what is in it, `**` stands for any number of folders. One rule more is not in the
documentation: an ignored folder is entered only where a `!` pattern begins with its very name, wildcards aside.
"""

import http.server
import io
import os
import re
import shutil
import socketserver
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def context_by_rules(root: Path) -> set[str]:
    """Files under `root` that its .dockerignore lets in."""
    lines = (root / ".dockerignore").read_text().splitlines()
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    rules = [(_regex(one.removeprefix("!")), not one.startswith("!")) for one in patterns]
    return set(_walk(root, root, rules, [f"{one[1:]}/" for one in patterns if one.startswith("!")]))


def _walk(root: Path, folder: Path, rules: list[tuple[re.Pattern[str], bool]], taken_back: list[str]) -> Iterator[str]:
    for path in folder.iterdir():
        name = path.relative_to(root).as_posix()
        ignored = _is_ignored(name, rules)
        if path.is_dir() and (not ignored or any(one.startswith(f"{name}/") for one in taken_back)):
            yield from _walk(root, path, rules, taken_back)
        elif path.is_file() and not ignored:
            yield name


def _is_ignored(name: str, rules: list[tuple[re.Pattern[str], bool]]) -> bool:
    parts = name.split("/")
    paths = ["/".join(parts[: number + 1]) for number in range(len(parts))]
    ignored = False
    for pattern, excludes in rules:
        if any(pattern.fullmatch(path) for path in paths):
            ignored = excludes
    return ignored


def _regex(pattern: str) -> re.Pattern[str]:
    found = ""
    for part in re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", pattern.strip("/")):
        found += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part))
    return re.compile(found)


def docker_command() -> str | None:
    """The docker client, where it is installed. No daemon is needed."""
    return shutil.which("docker")


def context_by_docker(root: Path, dockerfile: str, folder: Path) -> set[str]:
    """Files that the docker client itself sends: to a stand-in for its daemon, over a socket in `folder`."""
    with _daemon(folder / "docker.sock") as sent:
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "DOCKER_BUILDKIT": "0",
            "DOCKER_HOST": f"unix://{folder / 'docker.sock'}",
        }  # fmt: skip
        subprocess.run(
            [docker_command() or "docker", "build", "-f", str(root / dockerfile), str(root)],
            env=environment, capture_output=True, check=False, timeout=60,
        )  # fmt: skip
    assert len(sent) == 1, "the docker client sent no context"
    with tarfile.open(fileobj=io.BytesIO(sent[0])) as archive:
        return {member.name for member in archive.getmembers() if member.isfile()}


@contextmanager
def _daemon(path: Path) -> Iterator[list[bytes]]:
    sent: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Api-Version", "1.43")
            self.send_header("OSType", "linux")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self._answer(b"OK")

        def do_GET(self) -> None:
            self._answer(b'{"Version":"24.0","ApiVersion":"1.43","Os":"linux","OSType":"linux"}')

        def do_POST(self) -> None:
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                body = b""
                while size := int(self.rfile.readline().strip() or b"0", 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if "/build" in self.path:
                sent.append(body)
            self._answer(b'{"stream":"built"}\n')

        def log_message(self, *_words: Any) -> None:
            return

        def address_string(self) -> str:
            return "docker"

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    with Server(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield sent
        finally:
            server.shutdown()
            thread.join(timeout=5)
