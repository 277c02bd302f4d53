"""Build the C fuzzers with clang and run them."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
INCLUDE = HERE.parent.parent / "include"
TARGETS: dict[str, tuple[str, Sequence[str]]] = {
    "registry": ("registry.c", ()),
    "record": ("registry.c", ("-DONE_RECORD",)),
    "words": ("words.c", ()),
}
FLAGS = [
    *("-std=gnu11", "-g", "-O1", "-fno-omit-frame-pointer", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function"),
    *("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"),
    *("-DNSHM_LOCK_PATIENCE=0", "-DNSHM_REGISTRY_ROUNDS=20"),
]
NO_NAMESPACE = 99  # (77 is what libFuzzer says of a finding)


@functools.cache
def compiler() -> str | None:
    """A clang that has libFuzzer, or None."""
    for name in ("clang", *(f"clang-{version}" for version in range(22, 10, -1))):
        if shutil.which(name) is None:
            continue
        with tempfile.TemporaryDirectory() as directory:
            source = Path(directory, "probe.c")
            source.write_text("int LLVMFuzzerTestOneInput(const char *p, unsigned long n) { return !p && n; }")
            probe = [name, "-fsanitize=fuzzer,address,undefined", str(source), "-o", str(source.with_suffix(""))]
            if subprocess.run(probe, capture_output=True, timeout=60).returncode == 0:
                return name
    return None


class Fuzzer:
    """One target, built into a directory, from the header as it is or a changed copy of it."""

    def __init__(self, target: str, directory: Path, include: Path = INCLUDE) -> None:
        clang = compiler()
        assert clang
        source, more = TARGETS[target]
        self.target, self.program = target, (directory / f"fuzz-{target}").resolve()
        command = [clang, *FLAGS, *more, f"-I{include}", str(HERE / source), "-o", str(self.program), "-lpthread"]
        subprocess.run(command, check=True, timeout=300)

    def seeds(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        for number, line in enumerate((HERE / "seeds" / f"{self.target}.txt").read_text().split()):
            (directory / f"seed-{number}").write_bytes(bytes.fromhex(line))

    def run(self, seconds: int, corpus: Path, *, quiet: bool = True, seed: int = 0) -> subprocess.CompletedProcess[str]:
        """Fuzz for so long; exit status 0: nothing was found.  Findings lie beside the program."""
        self.seeds(corpus)
        command = [
            *(str(self.program), f"-max_total_time={seconds}", "-timeout=10", "-use_value_profile=1", "-len_control=10"),
            *("-max_len=1400", f"-artifact_prefix={self.program.parent}/", "-print_final_stats=1", f"-seed={seed}", str(corpus)),
        ]
        environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
        errors = subprocess.PIPE if quiet else None
        return subprocess.run(command, env=environment, timeout=seconds + 100, check=False, text=True, stderr=errors)
