"""What goes wrong below the relay: functions that die at work, and queues that deliver twice."""

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
#: How MiniStack says that a function's process ended before it answered.
_INTERRUPTED = re.compile(r"Lambda \S*?-([A-Z]\w*Function)\S*: Runtime exited before returning a response")


class Killer:
    """Kills functions of one stack without a warning, as a machine that fails does."""

    def __init__(self, processes: Processes, log: Path) -> None:
        self._processes = processes
        self._log = log
        #: How many functions were killed, whether or not they were at work.
        self.kills = 0

    def kill(self) -> None:
        """Kills one function: by turns any, and one that is using the processor, if there is one.

        One that waits for TOP uses none, so that both are needed to hit functions wherever they may be.
        """
        victims = self._processes.children("ministack")
        if self.kills % 2:
            victims = _at_work(victims) or victims
        if victims:
            with suppress(ProcessLookupError):
                os.kill(random.choice(victims), signal.SIGKILL)
                self.kills += 1

    def interrupted(self) -> Counter[str]:
        """How many invocations ended with their function's process, by function, as MiniStack tells it."""
        return Counter(_INTERRUPTED.findall(self._log.read_text("utf-8", errors="replace")))


def _at_work(pids: list[int]) -> list[int]:
    """Those that use the processor now; none where there is no /proc."""
    before = {pid: _processor_time(pid) for pid in pids}
    time.sleep(_WATCHED_SECONDS)
    return [pid for pid, used in before.items() if used is not None and _processor_time(pid) not in (used, None)]


def _processor_time(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    except (OSError, IndexError):
        return None


class Copier:
    """Puts copies of messages beside them, and keeps count of how often messages were received."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._queues = _working_queues(relay)
        self._receives: dict[str, int] = {}
        #: How many copies were put.
        self.copies = 0

    def copy(self) -> None:
        """Copies a message of each queue that holds any, whether it is being handled or not."""
        for url in self._queues.values():
            held = self._relay.aws.messages(url)
            self._receives |= {message["MessageId"]: message["ReceiveCount"] for message in held}
            if held:
                body = random.choice(held)["Body"]
                self._relay.aws.client("sqs").send_message(QueueUrl=url, MessageBody=body)
                self.copies += 1

    @property
    def received_again(self) -> int:
        """How many deliveries were not a message's first, of those that were still there to be looked at."""
        return sum(count - 1 for count in self._receives.values() if count > 1)


@contextmanager
def short_visibility(relay: Relay, seconds: int) -> Iterator[None]:
    """Has messages come again after so many seconds, whether or not somebody is still at work on them."""
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
