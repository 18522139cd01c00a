"""Two hosts on one machine: network namespaces, and a cable between them that takes time and loses packets.

The cable is a pair of TAP devices, one in each namespace, and a thread that carries the packets from one to
the other: what `tc netem` does, but with a seed and on kernels without it. Needs root, Debian's iproute2 and
/dev/net/tun. Processes in different namespaces share nothing but that cable: shared memory is switched off
for them, as it is between real hosts.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import shutil
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_TUNSETIFF = 0x400454CA
_TAP_WITHOUT_HEADER = 0x0002 | 0x1000
_LARGEST_FRAME = 65536
_POLL_S = 0.05


@dataclass(frozen=True)
class Host:
    """One end of the cable."""

    namespace: str

    def command(self, words: Sequence[str]) -> list[str]:
        """Return the command line that runs `words` on this host."""
        return ["ip", "netns", "exec", self.namespace, *words]


@dataclass
class Cable:
    """What happens to packets on their way, in either direction.

    Attributes:
        delay_ms: mean time on the way.
        jitter_ms: standard deviation of it; packets may overtake each other.
        loss: fraction of packets that get lost.
        seed: of both.
        carried, lost: packets so far.
    """

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    seed: int = 0
    carried: int = field(default=0, init=False)
    lost: int = field(default=0, init=False)

    def carry(self, ends: tuple[int, int], stop: threading.Event) -> None:
        """Carry packets between two open TAP devices until told to stop."""
        chance = random.Random(self.seed)
        on_their_way: list[tuple[float, int, int, bytes]] = []
        number = 0
        while not stop.is_set():
            due_s = on_their_way[0][0] - time.monotonic() if on_their_way else _POLL_S
            for end in select.select(ends, (), (), min(max(due_s, 0), _POLL_S))[0]:
                packet = os.read(end, _LARGEST_FRAME)
                if chance.random() < self.loss:
                    self.lost += 1
                    continue
                delay_s = max(chance.gauss(self.delay_ms, self.jitter_ms), 0) / 1e3
                number += 1
                other = ends[1 - ends.index(end)]
                heapq.heappush(on_their_way, (time.monotonic() + delay_s, number, other, packet))
            while on_their_way and on_their_way[0][0] <= time.monotonic():
                _, _, end, packet = heapq.heappop(on_their_way)
                os.write(end, packet)
                self.carried += 1


def why_not() -> str | None:
    """Return what this machine lacks for emulated hosts, None where nothing is missing."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "'ip' is not installed: apt install iproute2"
    if not os.path.exists("/dev/net/tun"):
        return "this kernel has no TAP devices: /dev/net/tun is missing"
    try:
        with two_hosts(Cable()):
            return None
    except (subprocess.CalledProcessError, OSError) as error:
        return f"network namespaces do not work here: {error}"


@contextmanager
def two_hosts(cable: Cable) -> Iterator[tuple[Host, Host]]:
    """Make two hosts that are joined by a cable; they are gone afterwards, with all that still runs there."""
    namespaces = [f"cosense-{end}-{os.getpid()}" for end in "ab"]
    # The names of devices have at most 15 characters.
    devices = [f"cs{end}{os.getpid()}" for end in "ab"]
    ends: list[int] = []
    stop = threading.Event()
    carrier: threading.Thread | None = None
    try:
        for index, (namespace, device) in enumerate(zip(namespaces, devices, strict=True), 1):
            _ip("netns", "add", namespace)
            ends.append(_open_tap(device))
            _ip("link", "set", device, "netns", namespace)
            _ip("-n", namespace, "addr", "add", f"10.77.0.{index}/24", "dev", device)
            for up in ("lo", device):
                _ip("-n", namespace, "link", "set", up, "up")
        carrier = threading.Thread(target=cable.carry, args=((ends[0], ends[1]), stop), daemon=True)
        carrier.start()
        yield Host(namespaces[0]), Host(namespaces[1])
    finally:
        for namespace in namespaces:
            _kill_all(namespace)
        stop.set()
        if carrier is not None:
            carrier.join()
        for end in ends:
            os.close(end)
        for namespace in namespaces:
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)


def environment(domain: int) -> dict[str, str]:
    """Return the variables of processes that talk over the cable and not over shared memory."""
    return {
        **os.environ,
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
        "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4?sockets_size=4MB",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }


def _open_tap(device: str) -> int:
    """Return a new TAP device, which is there as long as it is open."""
    end = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _TAP_WITHOUT_HEADER))
    return end


def _kill_all(namespace: str) -> None:
    """Kill what runs in a namespace, which deleting its name would leave running."""
    found = subprocess.run(["ip", "netns", "pids", namespace], check=False, capture_output=True, text=True)
    for pid in map(int, found.stdout.split()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
