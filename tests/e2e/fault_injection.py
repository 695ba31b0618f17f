"""Faults below the relay: functions that are killed during an invocation, and queues that deliver twice."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from processes import Processes
from relay import Relay

_WATCHED_SECONDS = 0.02
#: MiniStack's log message about a function's process that ended before it answered.
_INTERRUPTED = re.compile(r"Lambda \S*?-([A-Z]\w*Function)\S*: Runtime exited before returning a response")


class Killer:
    """Kills functions of one stack without warning, like a machine failure."""

    def __init__(self, processes: Processes, log: Path) -> None:
        self._processes = processes
        self._log = log
        #: Killed functions, busy or idle.
        self.kills = 0

    def kill(self) -> None:
        """Kills one function: alternately any function, and one that is using the processor, if there is one.

        A function that waits for TOP does not use the processor. So both are needed to hit functions at any point.
        """
        victims = self._processes.children("ministack")
        if self.kills % 2:
            victims = _at_work(victims) or victims
        if victims:
            with suppress(ProcessLookupError):
                os.kill(random.choice(victims), signal.SIGKILL)
                self.kills += 1

    def interrupted(self) -> Counter[str]:
        """The number of invocations that ended with their function's process, by function, from MiniStack's log."""
        return Counter(_INTERRUPTED.findall(self._log.read_text("utf-8", errors="replace")))


def _at_work(pids: list[int]) -> list[int]:
    """The processes that are using the processor now; empty without /proc."""
    before = {pid: _processor_time(pid) for pid in pids}
    time.sleep(_WATCHED_SECONDS)
    return [pid for pid, used in before.items() if used is not None and _processor_time(pid) not in (used, None)]


def _processor_time(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    except (OSError, IndexError):
        return None


class Copier:
    """Duplicates messages in their queues, and counts how often messages were received."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._queues = _working_queues(relay)
        self._receives: dict[str, int] = {}
        #: Copies sent.
        self.copies = 0

    def copy(self) -> None:
        """Copies one message, visible or in flight, of each queue that is not empty."""
        for url in self._queues.values():
            held = self._relay.aws.messages(url)
            self._receives |= {message["MessageId"]: message["ReceiveCount"] for message in held}
            if held:
                body = random.choice(held)["Body"]
                self._relay.aws.client("sqs").send_message(QueueUrl=url, MessageBody=body)
                self.copies += 1

    @property
    def received_again(self) -> int:
        """Repeated receives of the messages that `copy` saw in a queue: a lower bound."""
        return sum(count - 1 for count in self._receives.values() if count > 1)


@contextmanager
def short_visibility(relay: Relay, seconds: int) -> Iterator[None]:
    """Sets the visibility time-out of the queues to `seconds`, even if functions need longer for a message."""
    sqs, name = relay.aws.client("sqs"), "VisibilityTimeout"
    usual = {
        url: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]
        for url in _working_queues(relay).values()
    }
    for url in usual:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={name: str(seconds)})
    try:
        yield
    finally:
        for url, value in usual.items():
            sqs.set_queue_attributes(QueueUrl=url, Attributes={name: value})


def _working_queues(relay: Relay) -> dict[str, str]:
    queues = relay.connection.queues
    return {name: url for name, url in queues.items() if not name.endswith("-dead-letters")}
