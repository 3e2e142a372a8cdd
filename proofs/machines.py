"""Machines for a proof: network namespaces on one bridge, each with processes, folders and a link of its own.

Needs to be root, and `ip` (iproute2). Each namespace has a relay to the stand-in; the database server they reach over
the bridge, so that a link which is down is down for it, too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ayne_dagster_tests.support.processes import family

NETWORK = "10.213.7"
HERE = f"{NETWORK}.1"
"""The address of the machine that runs the proof, with the server, the stand-in, the daemon."""
_BRIDGE = "aynebr"


def can_be_made() -> bool:
    """Whether machines can be made here."""
    return os.geteuid() == 0 and subprocess.run(["ip", "netns"], capture_output=True, check=False).returncode == 0


@dataclass
class Machine:
    """A machine: a namespace, a folder, and what runs there."""

    name: str
    address: str
    folder: Path
    environment: Mapping[str, str]
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        """Its network namespace."""
        return f"ayne-{self.name}"

    @property
    def link(self) -> str:
        """The other end of its network cable."""
        return f"ayne-{self.name}"

    def start(self, words: Sequence[str], **settings: str) -> subprocess.Popen[bytes]:
        """Start a program of this environment there; its output goes into a file in the machine's folder.

        Args:
            words: the module and its arguments.
            settings: variables of this program alone.
        """
        command = ["ip", "netns", "exec", self.namespace, sys.executable, "-W", "ignore", "-m", *words]
        with (self.folder / "output").open("ab") as output:
            process = subprocess.Popen(
                command, env={**self.environment, **settings}, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, start_new_session=True,
            )  # fmt: skip
        self.running.append(process)
        return process

    def switch_off(self) -> None:
        """Kill all that runs there at once, as when the power fails."""
        for process in self.running:
            for pid in family(process.pid):
                with _gone_by_now():
                    os.kill(pid, signal.SIGKILL)
        for pid in _inhabitants(self.namespace):  # runs, which are nobody's children any more
            with _gone_by_now():
                os.kill(pid, signal.SIGKILL)
        for process in self.running:
            process.wait()
        self.running.clear()

    def unplug(self) -> None:
        """Cut its network: nothing arrives and nothing is refused."""
        _ip("link", "set", self.link, "down")

    def plug_in(self) -> None:
        """Give it its network back."""
        _ip("link", "set", self.link, "up")


@contextmanager
def machines(folder: Path, names: Sequence[str], environment: Mapping[str, str]) -> Iterator[list[Machine]]:
    """Machines, for the length of the block; all that runs on them ends with it."""
    with ExitStack() as undone:
        _ip("link", "add", _BRIDGE, "type", "bridge")
        undone.callback(_ip, "link", "del", _BRIDGE)
        _ip("addr", "add", f"{HERE}/24", "dev", _BRIDGE)
        _ip("link", "set", _BRIDGE, "up")
        made = []
        for number, name in enumerate(names, 2):
            place = folder / name
            (place / "state").mkdir(parents=True)
            home = {"AYNE_STATE_FOLDER": str(place / "state"), "DAGSTER_HOME": str(place / "home"), "HOME": str(place)}
            machine = Machine(name, f"{NETWORK}.{number}", place, {**environment, **home})
            _ip("netns", "add", machine.namespace)
            undone.callback(_ip, "netns", "del", machine.namespace)
            undone.callback(machine.switch_off)
            _ip("link", "add", machine.link, "type", "veth", "peer", "name", "eth0", "netns", machine.namespace)
            _ip("link", "set", machine.link, "master", _BRIDGE, "up")
            _ip("-n", machine.namespace, "addr", "add", f"{machine.address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", machine.namespace, "link", "set", device, "up")
            made.append(machine)
        yield made


def wait_until(condition: Callable[[], bool], what: str, within: float) -> float:
    """Wait for something; returns how many seconds it took.

    Raises:
        AssertionError: nothing came of it.
    """
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < within, f"not within {within:.0f} s: {what}"
        time.sleep(0.2)
    return time.monotonic() - started


@contextmanager
def _gone_by_now() -> Iterator[None]:
    try:
        yield
    except ProcessLookupError:
        return


def _inhabitants(namespace: str) -> list[int]:
    found = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
