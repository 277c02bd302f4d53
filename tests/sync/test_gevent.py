"""With gevent's patches, made before our import or after it: asyncio waits as ever, and the recipe of the documentation."""

from __future__ import annotations

import pytest
from helpers.extras import needs
from helpers.facts import on_linux
from helpers.peer import run_python

pytestmark = pytest.mark.skipif(not on_linux, reason="gevent is run on Linux here")

PATCHES = {
    "before": "from gevent import monkey; monkey.patch_all()\nimport namedshm, namedshm.sync",
    "after": "import namedshm, namedshm.sync\nfrom gevent import monkey; monkey.patch_all()",
    "unpatched": "import namedshm",
}


def program(code: str, **variables: object) -> list[str]:
    needs("gevent")
    start = "".join(f"{key} = {value!r}\n" for key, value in variables.items())
    return run_python(start + code, env={"PYTHONWARNINGS": "ignore"}).splitlines()


@pytest.mark.parametrize("patch", PATCHES.values(), ids=PATCHES)
def test_asyncio_waits_end(name: str, patch: str) -> None:
    assert program(
        f"""
{patch}
import asyncio, subprocess, sys

async def main():
    event, semaphore = namedshm.Event(name), namedshm.Semaphore(name + "-s", initial=0, maximum=9)
    print(await event.wait_async(0.05))  # the time is up
    waiting = asyncio.create_task(event.wait_async(30))
    await asyncio.sleep(0.05)
    event.set()  # by this thread
    print(await waiting)
    code = f"import namedshm; namedshm.Semaphore({{name + '-s'!r}}).release(3)"
    other = asyncio.create_task(semaphore.acquire_async(30))
    await asyncio.sleep(0)
    subprocess.Popen([sys.executable, "-c", code]).wait()  # by another process
    print(await other, (await namedshm.wait_any_async([event, semaphore], 30)).index)
    print(await namedshm.wait_all_async([event, semaphore], 0.05))

asyncio.run(main())
""",
        name=name,
    ) == ["False", "True", "True 1", "None"]


@pytest.mark.parametrize("patch", PATCHES.values(), ids=PATCHES)
def test_plain_waits_in_gevent_s_thread_pool_let_greenlets_run(name: str, patch: str) -> None:
    """The recipe of docs/synchronisation.md."""
    assert program(
        f"""
{patch}
import gevent

event = namedshm.Event(name)
pool = gevent.get_hub().threadpool
turns = []

def ticks():
    while len(turns) < 5:
        turns.append(1)
        gevent.sleep(0.01)
    event.set()

ticker = gevent.spawn(ticks)
print(pool.apply(event.wait, (30,)), len(turns))
print(pool.apply(event.wait, (0.05,)))
ticker.join()
""",
        name=name,
    ) == ["True 5", "False"]
