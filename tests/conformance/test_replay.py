"""The reference scenarios, replayed: calls in order, process by process, with the results Windows gives.

They are no part of this repository: a folder ``shared`` beside it holds them.  NAMEDSHM_REQUIRE_SHARED=1 makes its absence a
failure instead of a skip.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.facts import on_linux, required
from helpers.peer import born

import namedshm

REPLAY = Path(__file__).resolve().parents[3] / "shared" / "conformance" / "replay.py"
TAGS = "create,name,life,view,size,offset,rights,protect,cow,kill,dup,flush,seed"

#: Scenarios that cannot be played to the end: id and reason.  None; a scenario that passes must not stand here.
SKIPPED: dict[str, str] = {}


@pytest.mark.skipif(not on_linux, reason="under Wine the replay is started from Linux, see tools/windows.py")
@pytest.mark.timeout(240)
def test_every_scenario_of_the_reference_gives_the_results_of_windows(tmp_path: Path) -> None:
    if not REPLAY.exists():
        message = f"the reference scenarios are not here ({REPLAY.parents[1].name}/ beside the repository)"
        if required("NAMEDSHM_REQUIRE_SHARED"):
            pytest.fail(message)
        pytest.skip(message)
    out = tmp_path / "results.json"
    root = str(Path(namedshm.__file__).resolve().parent.parent)
    command = [sys.executable, str(REPLAY), "--api", "namedshm.win32", "--path", root, "--profile", "docs", "--tags", TAGS]
    process = subprocess.Popen(
        [*command, "--jobs", "2", "--json", str(out)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    born.add(process.pid)
    output, _ = process.communicate(timeout=200)
    results = {row["id"]: row for row in json.loads(out.read_text())["results"]}
    assert len(results) > 60, output
    wrong = {key: row["rows"][-1] for key, row in results.items() if row["status"] not in ("PASS", "SKIP")}
    assert not wrong, output
    skipped = {key: row["rows"][-1]["why"] for key, row in results.items() if row["status"] == "SKIP"}
    assert skipped == SKIPPED, output
