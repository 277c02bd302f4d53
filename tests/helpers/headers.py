"""Changed copies of the C headers: for planted bugs, and for programs of another version of the format."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

INCLUDE = Path(__file__).resolve().parents[2] / "include"


def headers() -> list[Path]:
    """All of them, relative to the include path."""
    return sorted(file.relative_to(INCLUDE) for file in INCLUDE.rglob("*.h"))


def changed(into: Path, changes: Iterable[tuple[str, str]]) -> Path:
    """A copy of the headers in the folder, which serves as include path, with each old text replaced by the new one.

    An old text must stand exactly once in all headers together: whoever changes the headers keeps those who replace text in step.
    """
    shutil.copytree(INCLUDE, into, dirs_exist_ok=True)
    for old, new in changes:
        places = {name: count for name in headers() if (count := (into / name).read_text().count(old))}
        assert sum(places.values()) == 1, f"the headers read otherwise now: this stands {places or 'nowhere'}, not once: {old}"
        file = into / next(iter(places))
        file.write_text(file.read_text().replace(old, new))
    return into


def of_version(into: Path, change: int) -> Path:
    """A copy of the headers whose version of the format is higher by ``change``."""
    layout = (INCLUDE / "namedshm" / "layout.h").read_text()
    version = int(re.findall(r"#define NSHM_VERSION (\d+)u", layout)[0])
    return changed(into, [(f"#define NSHM_VERSION {version}u", f"#define NSHM_VERSION {version + change}u")])
