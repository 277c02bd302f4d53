"""The tests of the tests: each planted bug of mutants.py is caught by the storm or by the stepper, within bounded work."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .build import build
from .mutants import MUTANTS, Mutant

CAUGHT, NOT_POSSIBLE = 1, 77
# what would take ten seconds until it is reported takes one
IMPATIENT = ("-O2", "-Wno-error", "-w", "-DNSHM_LOCK_PATIENCE=1", "-DNSHM_REGISTRY_ROUNDS=3000")


@pytest.mark.timeout(600)  # the slowest takes 40 s of one core, which others may share
@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_planted_bug_is_caught(mutant: Mutant, tmp_path: Path) -> None:
    include = mutant.write(tmp_path / "include")
    built: dict[str, Path] = {}
    attempts = []
    for attempt in mutant.caught_by:
        program, *arguments = attempt.split()
        if program not in built:
            built[program] = build(program, tmp_path, include=include, flags=IMPATIENT)
        if program == "storm":
            arguments = [arguments[0], *(arguments[1:] or ["1"]), "25"]
        run = subprocess.run([built[program], *arguments], capture_output=True, text=True, timeout=300)
        if run.returncode == CAUGHT:
            return
        attempts.append(f"{attempt}: status {run.returncode}\n{run.stdout}{run.stderr}")
        if run.returncode not in (0, NOT_POSSIBLE):
            break
    pytest.fail(f"{mutant.what}: not caught\n" + "\n".join(attempts))
