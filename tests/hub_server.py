"""A model hub on loopback, for the unmodified huggingface_hub client: repositories in memory.

It answers as the public hub does where the client can tell, and can be told to lose connections.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_right"
LARGE = (".safetensors", ".png")  # what goes through LFS
Tree = dict[str, bytes]


@dataclass
class Repository:
    private: bool = False
    commits: dict[str, Tree] = field(default_factory=lambda: {"0" * 40: {}})
    refs: dict[str, str] = field(default_factory=lambda: {"main": "0" * 40})
    tags: set[str] = field(default_factory=set)  # the names of `refs` that do not move

    def commit_of(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.refs.get(revision)

    def commit(self, branch: str, tree: Tree) -> str:
        named = json.dumps({path: hashlib.sha256(body).hexdigest() for path, body in tree.items()})
        sha = hashlib.sha1(f"{len(self.commits)} {named}".encode()).hexdigest()
        self.commits[sha], self.refs[branch] = tree, sha
        return sha


@dataclass
class Hub:
    """What the server holds, and what goes wrong in it.

    Args:
        large: what was uploaded through LFS, by its SHA-256.
        requests: what it was asked, in order.
        cut: lose the connection after so many bytes of the next large file, up or down.
        recovers: whether the line is good again after that, or nothing is answered any more.
        dead: nothing is answered.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    cut: int | None = None
    recovers: bool = True
    dead: bool = False
    url: str = ""

    def lose(self) -> int | None:
        """How many bytes still come through, if the connection is to be lost now."""
        after, self.cut = self.cut, None
        self.dead = after is not None and not self.recovers
        return after


class RefusedError(Exception):
    def __init__(self, status: int, code: str, message: str):
        self.status, self.headers = status, {"X-Error-Code": code, "X-Error-Message": message}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *args: Any) -> None: ...

    def answer(self) -> None:
        if self.hub.dead:
            self.hang_up()
            return
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        try:
            for method, pattern, route in ROUTES:
                match = re.fullmatch(pattern, path)
                if self.command == method and match:
                    route(self, **match.groupdict())
                    return
            self.body()
            raise RefusedError(404, "NotFound", f"no route for {self.command} {path}")
        except RefusedError as refusal:
            self.reply(
                refusal.status, {"error": refusal.headers["X-Error-Message"]}, refusal.headers
            )

    do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def reply(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True

    def token(self) -> str:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if given not in ("", TOKEN):
            raise RefusedError(401, "", "Invalid credentials in Authorization header")
        return given

    def repository(self, name: str, *, write: bool = False) -> Repository:
        given = self.token()
        found = self.hub.repositories.get(name)
        if found is None or (not given and (found.private or write)):
            raise RefusedError(401 if not given else 404, "RepoNotFound", "Repository not found")
        return found

    def tree(self, name: str, revision: str) -> tuple[str, Tree]:
        repository = self.repository(name)
        sha = repository.commit_of(revision)
        if sha is None:
            raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return sha, repository.commits[sha]


def create(self: Handler) -> None:
    asked = json.loads(self.body())
    name = f"{asked['organization']}/{asked['name']}"
    if not self.token():
        raise RefusedError(401, "", "Invalid username or password.")
    there = name in self.hub.repositories
    if not there:
        hidden = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.hub.repositories[name] = Repository(hidden)
    self.reply(409 if there else 200, {"url": f"{self.hub.url}/{name}", "name": name})


def validate(self: Handler) -> None:
    self.body()
    self.reply(200, {"errors": [], "warnings": []})


def preupload(self: Handler, name: str, revision: str) -> None:
    asked = json.loads(self.body())
    self.repository(name, write=True)
    modes = {f["path"]: "lfs" if f["path"].endswith(LARGE) else "regular" for f in asked["files"]}
    files = [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes.items()]
    self.reply(200, {"files": files})


def lfs_batch(self: Handler, name: str) -> None:
    asked = json.loads(self.body())
    self.repository(name, write=True)
    objects = [
        {**one, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{one['oid']}"}}}
        if one["oid"] not in self.hub.large
        else one
        for one in asked["objects"]
    ]
    self.reply(200, {"transfer": "basic", "objects": objects})


def lfs_put(self: Handler, oid: str) -> None:
    if (after := self.hub.lose()) is not None:
        self.rfile.read(after)
        self.hang_up()
        return
    content = self.body()
    assert hashlib.sha256(content).hexdigest() == oid
    self.hub.large[oid] = content
    self.reply(200, {})


def commit(self: Handler, name: str, revision: str) -> None:
    lines = [json.loads(line) for line in self.body().splitlines()]
    repository = self.repository(name, write=True)
    sha = repository.commit_of(revision)
    if sha is None:
        raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    tree = dict(repository.commits[sha])
    for line in lines:
        value = line["value"]
        if line["key"] == "file":
            tree[value["path"]] = base64.b64decode(value["content"])
        elif line["key"] == "lfsFile":
            tree[value["path"]] = self.hub.large[value["oid"]]
        elif line["key"] == "deletedFile":
            del tree[value["path"]]
    sha = repository.commit(revision, tree)
    url = f"{self.hub.url}/{name}/commit/{sha}"
    self.reply(200, {"success": True, "commitOid": sha, "commitUrl": url})


def refer(self: Handler, name: str, **given: str) -> None:
    """A branch or a tag: both are names of commits."""
    asked = json.loads(self.body() or b"{}")
    repository = self.repository(name, write=True)
    ref = given.get("branch") or asked["tag"]
    if ref in repository.refs:
        raise RefusedError(409, "", f"{ref} already exists")
    start = given.get("revision") or asked.get("startingPoint") or "main"
    repository.refs[ref] = repository.commit_of(start) or ""
    repository.tags |= {asked["tag"]} if "tag" in asked else set()
    self.reply(200, {})


def references(self: Handler, name: str) -> None:
    repository = self.repository(name)
    found: dict[str, list[dict[str, str]]] = {"branches": [], "tags": [], "converts": []}
    for ref, sha in repository.refs.items():
        kind, prefix = ("tags", "tags") if ref in repository.tags else ("branches", "heads")
        found[kind].append({"name": ref, "ref": f"refs/{prefix}/{ref}", "targetCommit": sha})
    self.reply(200, found)


def revision(self: Handler, name: str, revision: str = "main") -> None:
    sha, tree = self.tree(name, revision)
    self.reply(200, {"id": name, "sha": sha, "siblings": [{"rfilename": path} for path in tree]})


def listing(self: Handler, name: str, revision: str) -> None:
    _, tree = self.tree(name, revision)
    self.reply(200, [_entry(path, body) for path, body in tree.items()])


def _entry(path: str, body: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}


def resolve(self: Handler, name: str, revision: str, file: str) -> None:
    sha, tree = self.tree(name, revision)
    if file not in tree:
        raise RefusedError(404, "EntryNotFound", "Entry not found")
    body = tree[file]
    headers = {"X-Repo-Commit": sha, "ETag": f'"{hashlib.sha256(body).hexdigest()}"'}
    large = self.command == "GET" and file.endswith(LARGE)
    if large and (after := self.hub.lose()) is not None:
        self.reply(200, body[:after], {**headers, "Content-Length": str(len(body))})
        self.hang_up()
        return
    self.reply(200, body, headers)


MODEL = r"/api/models/(?P<name>[^/]+/[^/]+)"
FILE = r"/(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)"
ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("POST", r"/api/repos/create", create),
    ("POST", r"/api/validate-yaml", validate),
    ("POST", MODEL + r"/preupload/(?P<revision>[^/]+)", preupload),
    ("POST", r"/(?P<name>[^/]+/[^/]+)\.git/info/lfs/objects/batch", lfs_batch),
    ("PUT", r"/lfs/(?P<oid>\w+)", lfs_put),
    ("POST", MODEL + r"/commit/(?P<revision>[^/]+)", commit),
    ("POST", MODEL + r"/branch/(?P<branch>[^/]+)", refer),
    ("POST", MODEL + r"/tag/(?P<revision>[^/]+)", refer),
    ("GET", MODEL + r"/refs", references),
    ("GET", MODEL, revision),
    ("GET", MODEL + r"/revision/(?P<revision>[^/]+)", revision),
    ("GET", MODEL + r"/tree/(?P<revision>[^/]+)", listing),
    ("HEAD", FILE, resolve),
    ("GET", FILE, resolve),
]


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub on a free port of this machine, gone when the block ends."""
    hub = Hub()
    handler = type("Bound", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
