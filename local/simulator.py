"""A client for the TOP simulator's control pages: the ledger and the injected faults."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import requests

_HTTP_TIMEOUT_SECONDS = 10

#: The TOP method of each call, and the parameter that wraps its request (None if the fields are top-level parameters).
METHODS = {
    "itinerary-postback": ("alibaba.happytrip.flight.order.itinerary.postback", "flight_itinerary_request"),
    "ticket-verify": ("taobao.travel.ticket.order.verify", None),
    "ship-notify": ("alitrip.ship.order.notify", "confirm_book_r_q"),
    "ship-return-notify": ("alitrip.ship.return.notify", "confirm_refund_r_q"),
    "ticket-refund-notify": ("taobao.travel.ticket.order.refund", None),
}
_BUSINESS_ID = {
    "itinerary-postback": "out_relation_order_id",
    "ticket-verify": "out_order_id",
    "ship-notify": "alitrip_order_id",
    "ship-return-notify": "alitrip_order_id",
    "ticket-refund-notify": "order_id",
}


@dataclass(frozen=True)
class Entry:
    """One request to the simulator."""

    at: datetime
    method: str
    params: dict[str, str]
    outcome: str
    effect: bool

    @property
    def call(self) -> str:
        """The relay's name for the method, or the method itself if the relay does not call it."""
        return next((call for call, (method, _) in METHODS.items() if method == self.method), self.method)

    @property
    def request(self) -> dict[str, Any]:
        """The request in TOP's field names, without its wrapper."""
        wrapper = METHODS[self.call][1]
        if wrapper is None:
            return self.params
        return json.loads(self.params[wrapper])

    @property
    def business_id(self) -> str:
        """The order id that the request is about, or an empty string if it has none."""
        try:
            return str(self.request[_BUSINESS_ID[self.call]])
        except (KeyError, ValueError):
            return ""


class Simulator:
    """A running simulator, located by its gateway URL."""

    def __init__(self, top_url: str) -> None:
        parts = urlsplit(top_url)
        self._pages = f"{parts.scheme}://{parts.netloc}/_sim"

    def ledger(self) -> list[Entry]:
        """All requests so far, oldest first."""
        answer = requests.get(f"{self._pages}/ledger", timeout=_HTTP_TIMEOUT_SECONDS)
        answer.raise_for_status()
        return [
            Entry(
                datetime.fromisoformat(call["at"]),
                call["method"],
                call["params"],
                call["outcome"],
                call["effect"],
            )
            for call in answer.json()["calls"]
        ]

    def fail(self, call: str, business_id: str, fault: str, times: int = 1, **details: Any) -> None:
        """Injects `fault` into the next `times` requests of this one call."""
        order = {"method": METHODS[call][0], "match": business_id, "times": times, "fault": fault, **details}
        self._post("faults", [order])

    def stop_failing(self) -> None:
        """Removes the remaining injected faults and ends every ban."""
        requests.delete(f"{self._pages}/faults", timeout=_HTTP_TIMEOUT_SECONDS).raise_for_status()

    def reset(self) -> None:
        """Clears the ledger and the remaining injected faults."""
        self._post("reset", None)

    def _post(self, page: str, body: Any) -> None:
        requests.post(f"{self._pages}/{page}", json=body, timeout=_HTTP_TIMEOUT_SECONDS).raise_for_status()
