"""The declarations that several processes of a test share."""

from __future__ import annotations

from typing import Annotated

from namedshm.records import Record


class Camera(Record):
    exposure: float = 0.01
    on: bool
    frame: int = 7
    label: Annotated[str, 32] = "idle"
    position: tuple[float, float, float]
    key: Annotated[bytes, 3] = b"abc"
    mask: Annotated[tuple[int, ...], "u1", 4]


class Equal(Record):
    """Fields that writers keep equal, far apart: a reader that sees two versions at once sees them differ."""

    a: int
    much: Annotated[bytes, 8000]
    b: int


class Large(Record):
    """The same, so large that a process is often stopped in the middle of copying it, for as long as several updates take."""

    a: int
    much: Annotated[bytes, 400_000]
    b: int


def bump(record: Equal | Large, times: int) -> None:
    for _ in range(times):
        with record.edit() as draft:
            draft.a += 1
            draft.much = draft.a.to_bytes(8, "little") * (len(draft.much) // 8)
            draft.b += 1


def check(record: Equal | Large, until: int) -> int:
    """Read until the value is there; returns how many versions were seen."""
    seen = 0
    last = -1
    while last < until:
        now = record.snapshot()
        assert now.a == now.b, (now.a, now.b)
        assert now.much == now.a.to_bytes(8, "little") * (len(now.much) // 8), now.a
        assert now.a >= last, (now.a, last)
        seen += now.a > last
        last = now.a
    return seen
