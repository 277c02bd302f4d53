"""The other process of a test: reads one line of JSON, does what it says, answers with one line; see peer.py.

It is started as a script and refuses to be clever: the code it runs comes from the test, so that a test can be read in one place.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import gc
import json
import os
import pickle
import sys
import tokenize  # noqa: F401  (traceback imports it late, when there may be no descriptor left)
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def fresh_variables() -> dict[str, Any]:
    """What the code of a test finds: the package, and both spellings of it."""
    import namedshm
    from helpers import spelling
    from namedshm import win32

    return {"namedshm": namedshm, "win32": win32, "spelling": spelling, "os": os, "sys": sys}


def evaluate(code: str, variables: dict[str, Any]) -> Any:
    """Run statements; the value is that of the last one if it is an expression."""
    tree = ast.parse(code)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        exec(compile(tree, "<test>", "exec"), variables)
        return None
    tree.body.pop()
    exec(compile(tree, "<test>", "exec"), variables)
    return eval(compile(ast.Expression(last.value), "<test>", "eval"), variables)


def portable(value: Any) -> str | None:
    """repr() of a plain value, None for anything else: handles and views stay in this process."""
    text = repr(value)
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    return text


def failure(error: BaseException) -> dict[str, str]:
    # without its traceback, which would keep the frame's handles alive and so names from going
    trace = traceback.format_exc()
    traceback.clear_frames(error.__traceback__)
    error = error.with_traceback(None)
    error.__context__ = error.__cause__ = None
    try:
        data = pickle.dumps(error)
        pickle.loads(data)
    except Exception:
        data = pickle.dumps(RuntimeError(trace))
    return {"error": base64.b64encode(data).decode("ascii"), "trace": trace}


def attachments() -> list[str]:
    """Lines of /proc/self/maps that are segments of ours and should not be there when nothing is open.

    Registries stay until the process ends, and one token is kept for the next create.
    """
    if sys.platform != "linux":  # asked first: under Wine the file can be opened, and is another process's
        return []
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        lines = [line.strip() for line in file if "/SYSV" in line]
    allowed = set()
    if "namedshm" in sys.modules:
        state = _state()
        allowed = {str(state[scope][kept]) for scope in ("local", "global") for kept in ("registry", "spare")}
    return [line for line in lines if line.split()[4] not in allowed]


def _state() -> dict[str, Any]:
    from namedshm._backend import backend

    return backend.backend_state()


def end_as_maker() -> None:
    """Close what this process keeps of blocks that it made, as its end would."""
    kept = getattr(sys.modules.get("namedshm._drop_in.blocks"), "kept", None)
    for key in kept.all() if kept else ():
        if section := kept.take(key):
            section.close()


def close_win32_handles() -> None:
    table = getattr(sys.modules.get("namedshm.win32._handles"), "_handles", ())
    for handle in list(table):
        sys.modules["namedshm.win32"].CloseHandle(handle)


class Server:
    def __init__(self, source: Any, sink: Any) -> None:
        self.source, self.sink = source, sink
        self.variables = fresh_variables()

    def answer(self, reply: dict[str, Any]) -> None:
        self.sink.write(json.dumps(reply) + "\n")
        self.sink.flush()

    def serve(self) -> None:
        # Python 3.15 imports what it formats errors with when it first does, and then a test may have taken all descriptors.
        try:
            raise RuntimeError
        except RuntimeError as error:
            failure(error)
        self.answer({"pid": os.getpid()})
        for line in self.source:
            request = json.loads(line)
            try:
                self.answer(self.handle(request))
            except BaseException as error:  # the test decides what it means
                self.answer(failure(error))
        os._exit(0)  # an end without closing anything: what Windows does at the end of a process

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        if "reset" in request:  # used again by another test
            self.variables.clear()
            gc.collect()
            close_win32_handles()
            end_as_maker()
            gc.collect()
            left = attachments()
            self.variables = fresh_variables()
            return {"value": repr(left)}
        if "fork" in request:
            return self.fork(*request["fork"])
        self.variables.update(ast.literal_eval(request.get("variables", "{}")))
        value = evaluate(request["code"], self.variables)
        return {"value": portable(value)}

    def fork(self, to_child: str, from_child: str) -> dict[str, Any]:
        """A child by fork(2) that serves the test on pipes of its own, with everything this process has."""
        import signal

        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for it here: the kernel shall
        pid = os.fork()
        if pid:
            return {"value": repr(pid)}
        with contextlib.suppress(BaseException):
            with open(os.devnull, "wb") as nothing:  # the pipes of the parent must end when the parent does
                os.dup2(nothing.fileno(), 1)
                os.dup2(nothing.fileno(), 2)
            # opened in the same order by the test; each open waits for its other end
            self.source = open(to_child, encoding="ascii")  # noqa: SIM115
            self.sink = open(from_child, "w", encoding="ascii")  # noqa: SIM115
            self.serve()
        os._exit(1)


def main() -> None:
    # what tests print must not get between the answers
    sink = os.fdopen(os.dup(1), "w", encoding="ascii", newline="\n")
    os.dup2(2, 1)
    source = os.fdopen(os.dup(0), encoding="ascii")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    Server(source, sink).serve()


if __name__ == "__main__":
    main()
