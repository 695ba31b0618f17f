"""How to reach a running stack: the contents of stack.json."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Connection:
    """URLs and credentials of one stack. The credentials are random and useless outside it."""

    api_url: str
    #: Full URLs that TSY posts its IssueNotify to, and SCTT its voucher push. The partner's token is in the path.
    tsy_url: str
    sctt_url: str
    aws_endpoint_url: str
    region: str
    table: str
    #: Queue name to URL: the queues, and the dead-letter queue of each as `<name>-dead-letters`.
    queues: dict[str, str]
    #: The topic that publishes everything accepted, and every outcome.
    order_events_topic: str
    top_url: str
    top_app_key: str
    top_app_secret: str
    top_session: str
    #: Empty if the stack runs without SCTT's signature.
    sctt_merchant_id: str
    sctt_secret: str

    def beside(self, url: str, notification: str) -> str:
        """The endpoint of the same partner for another notification, such as `cancel-push`."""
        return f"{url.rpartition('/')[0]}/{notification}"

    @staticmethod
    def read(path: Path) -> Connection:
        """Reads a file that `write` wrote."""
        return Connection(**json.loads(path.read_text()))

    def write(self, path: Path) -> None:
        """Writes it as JSON, readable by this user only."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")
