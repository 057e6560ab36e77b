"""A server on loopback that speaks as much of the hub's API as `datasets` and `snapshot_download` ask for."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse


@dataclass
class Repository:
    """The files of one commit. A path in `truncated` is announced whole and sent by half."""

    sha: str
    files: dict[str, bytes]
    truncated: set[str] = field(default_factory=set)


class _Handler(BaseHTTPRequestHandler):
    repositories: dict[str, Repository]
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        asked = json.loads(self.rfile.read(length) or b"{}")
        parts = unquote(urlparse(self.path).path).strip("/").split("/")
        repository = self.repositories.get("/".join(parts[2:4]))
        if repository is None or parts[4] != "paths-info":
            return self._missing("RepoNotFound")
        return self._json([_entry(path, repository) for path in asked["paths"] if path in repository.files])

    def _answer(self, *, body: bool) -> None:
        parts = unquote(urlparse(self.path).path).strip("/").split("/")
        if parts[:2] in (["api", "datasets"], ["api", "models"]):
            self._api("/".join(parts[2:4]), parts[4:])
        elif parts[0] == "datasets" and parts[3] == "resolve":
            self._file("/".join(parts[1:3]), parts[4], "/".join(parts[5:]), body=body)
        elif parts[2:3] == ["resolve"]:
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]), body=body)
        else:
            self._missing("EntryNotFound")

    def _api(self, name: str, rest: list[str]) -> None:
        repository = self.repositories.get(name)
        if repository is None:
            return self._missing("RepoNotFound")
        if rest[:1] in (["revision"], ["tree"]) and rest[1] not in ("main", repository.sha):
            return self._missing("RevisionNotFound")
        if rest[:1] == ["tree"]:
            folder = "/".join([*rest[2:], ""]) if rest[2:] else ""
            found = [path for path in repository.files if path.startswith(folder)]
            return self._json([_entry(path, repository) for path in found]) if found else self._missing("EntryNotFound")
        siblings = [{"rfilename": path} for path in repository.files]
        return self._json({"id": name, "sha": repository.sha, "siblings": siblings, "private": False, "tags": []})

    def _file(self, name: str, revision: str, path: str, *, body: bool) -> None:
        repository = self.repositories.get(name)
        if repository is None or revision not in ("main", repository.sha) or path not in repository.files:
            return self._missing("RepoNotFound" if repository is None else "EntryNotFound")
        content = repository.files[path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", repository.sha)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.end_headers()
        if body:
            cut = path in repository.truncated
            self.wfile.write(content[: len(content) // 2] if cut else content)
            self.close_connection = self.close_connection or cut
        return None

    def _json(self, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _missing(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: requests would drown the tests' output."""


def _entry(path: str, repository: Repository) -> dict[str, object]:
    content = repository.files[path]
    return {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}


@contextmanager
def serve(repositories: dict[str, Repository]) -> Iterator[str]:
    """Yield the address of a hub with `repositories`."""
    handler = type("Handler", (_Handler,), {"repositories": repositories})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
