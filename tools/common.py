"""What the tools of this folder share: saying and timing what they do, one run at a time, where Debian and the package index are.

Nothing here knows what it is used for.  A tool that lacks something says so by raising Missing, and ends with status 2.
"""

from __future__ import annotations

import ast
import contextlib
import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class Missing(RuntimeError):
    """Something has to be there first, or did not work; the text says what, and how to get it."""


def say(text: str) -> None:
    print(f"tools/{Path(sys.argv[0]).name}: {text}", flush=True)


def folder_for(tool: str) -> Path:
    """Where a tool keeps what it makes: NAMEDSHM_TOOL_DIR, or .tool in the checkout (ignored by git)."""
    chosen = os.environ.get(f"NAMEDSHM_{tool.upper()}_DIR")
    return Path(chosen).resolve() if chosen else REPO / f".{tool}"


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """One process at a time; its end, however it comes, lets the next one in."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run, which has {file}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    say(what)
    start = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - start:.0f} s")


def run(
    command: Sequence[str | Path], log: Path | None = None, *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """Run to the end and return what it printed; its last lines are the error text if it fails."""
    try:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd,
            env=env,
            check=False,
        )
    except FileNotFoundError:
        raise Missing(f"{command[0]} is not installed") from None
    if log:
        log.write_text(result.stdout)
    if result.returncode:
        raise Missing(f"{shlex.join(map(str, command))} ended with status {result.returncode}:\n{result.stdout[-3000:]}")
    return result.stdout


def once(stamp: Path, inputs: str) -> bool:
    """Whether the stamp says that something was made from other inputs, or not to its end; whoever makes it writes the stamp."""
    return not (stamp.exists() and stamp.read_text() == inputs)


# ------------------------------------------------------------------------------------------------------------ Debian
@dataclass(frozen=True)
class Mirror:
    """Where this machine gets Debian from, and the keyring by which it is believed."""

    uri: str
    key: Path


def mirror() -> Mirror:
    if not shutil.which("apt-get"):
        raise Missing("this needs apt, which has to reach Debian")
    targets = run(["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI) $(RELEASE)", "Created-By: Packages"])
    here = re.search(r"^VERSION_CODENAME=(.+)$", Path("/etc/os-release").read_text(), re.M)
    for line in targets.splitlines():
        origin, uri, release = [*line.split(), "", ""][:3]
        if origin == "Debian" and here and release == here[1]:
            return Mirror(uri, KEYRING)
    raise Missing("apt knows no Debian here: run apt-get update")


def sources_list(suite: str, kind: str = "deb") -> str:
    """An apt source of a suite, from where this machine gets its own."""
    place = mirror()
    return f"Types: {kind}\nURIs: {place.uri}\nSuites: {suite}\nComponents: main\nSigned-By: {place.key}\n"


# ------------------------------------------------------------------------------------------------------------ the package index
def pip_settings() -> dict[str, str]:
    """What pip is told on this machine, by files and variables, as variables: {"PIP_CERT": ...}."""
    listed = run([sys.executable, "-m", "pip", "config", "list"])
    settings = {}
    for line in listed.splitlines():
        match = re.fullmatch(r"(?:global|install|download|:env:)\.([\w-]+)=(['\"].*['\"])", line)
        if match:  # variables come last in the list, as they win
            settings["PIP_" + match[1].upper().replace("-", "_")] = " ".join(ast.literal_eval(match[2]).split())
    variables = {key: value for key, value in os.environ.items() if key.startswith("PIP_")}
    return {
        key: value for key, value in {**settings, **variables}.items() if key not in ("PIP_CONFIG_FILE", "PIP_REQUIRE_VIRTUALENV")
    }


def paths_in(settings: Mapping[str, str]) -> list[Path]:
    """Files and folders of this machine that settings name.  An index's pages lead to files beside it: its parent, for a URL."""
    found = []
    for word in " ".join(settings.values()).split():
        path = Path(word.removeprefix("file://")).parent if word.startswith("file:///") else Path(word)
        if path.is_absolute() and path.exists() and path != Path("/"):
            found.append(path)
    return sorted(set(found))


# ------------------------------------------------------------------------------------------------------------ the package
BUILT_FROM = (".py", ".pyx", ".pxd", ".pxi", ".pyi", ".h", ".typed")


def package_digest() -> str:
    """Of all that the installed package is made of."""
    total = hashlib.sha256()
    files = [REPO / "setup.py", REPO / "pyproject.toml", *(REPO / "include").rglob("*.h")]
    files += [path for path in (REPO / "src").rglob("*") if path.suffix in BUILT_FROM]
    for file in sorted(files):
        total.update(str(file.relative_to(REPO)).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def copy_package(tree: Path) -> None:
    """What the package is built from, apart, because other Pythons' builds stand in the checkout."""
    shutil.rmtree(tree, ignore_errors=True)
    ignored = shutil.ignore_patterns("*.so", "*.c", "__pycache__", "*.egg-info")
    for part in ("src", "include"):
        shutil.copytree(REPO / part, tree / part, ignore=ignored)
    for part in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(REPO / part, tree)


def copy_checkout(tree: Path) -> None:
    """Make ``tree`` what the checkout is: what git knows and what it does not ignore.

    Files that are the same stay as they are, and so do those that are ignored: what was built there.
    """
    listed = run(["git", "-C", REPO, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]).split("\0")
    wanted = {name for name in listed if name and (REPO / name).is_file()}
    tree.mkdir(parents=True, exist_ok=True)
    known = tree / ".copied"
    for old in set(known.read_text().splitlines() if known.exists() else ()) - wanted:
        (tree / old).unlink(missing_ok=True)
    for name in wanted:
        source, target = REPO / name, tree / name
        if not (target.exists() and target.read_bytes() == source.read_bytes()):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    known.write_text("\n".join(sorted(wanted)))
