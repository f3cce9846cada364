"""The queue of calls: no client has many in it, and calls that nobody listens to are given up.

gradio runs every call to its end, whether or not anybody listens, and takes any number of them
from anyone until its queue is full for all.
"""

import asyncio
import ipaddress
import time
import uuid
from typing import Any

from gradio.queueing import Event, ProcessTime, Queue
from gradio.server_messages import ProcessCompletedMessage
from gradio.utils import run_coro_in_background
from starlette.exceptions import HTTPException

from hvae_sr.demo import jobs

MOST_OPEN = 4  # calls of one client that wait or run
LONGEST_SESSION = 64  # characters of a session's name; the page uses eleven
SILENCE = 10.0  # seconds without a listener after which a call is given up
KEPT = 60.0  # seconds that an answer waits for a listener
PAUSE = 1.0  # seconds between two looks at who still listens


class Mailbox(asyncio.Queue[Any]):
    """What a session is told, and whether anybody in it listens."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = time.monotonic()
        self._listeners = 0

    async def get(self) -> Any:
        self._listeners += 1
        try:
            return await super().get()
        finally:
            self._listeners -= 1
            self.heard = time.monotonic()

    @property
    def silence(self) -> float:
        """Seconds since anybody listened."""
        return 0.0 if self._listeners else time.monotonic() - self.heard


class _NoAverages(dict[Any, Any]):
    """How long calls took, of which gradio would tell the next one the mean, whatever it asks."""

    def __contains__(self, fn: object) -> bool:
        return False

    def __missing__(self, fn: Any) -> ProcessTime:
        return ProcessTime()


class CallQueue(Queue):
    """gradio's queue, with at most `MOST_OPEN` calls of a client, and only for those who listen."""

    @classmethod
    def like(cls, queue: Queue) -> "CallQueue":
        """A new one with the settings of another queue."""
        return cls(
            live_updates=queue.live_updates,
            concurrency_count=queue.max_thread_count,
            update_intervals=queue.update_intervals,
            max_size=queue.max_size,
            blocks=queue.blocks,
            default_concurrency_limit=queue.default_concurrency_limit,
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ANALYTICS_MAX_EVENTS = 1  # nobody reads them: monitoring is closed
        self.process_time_per_fn = _NoAverages()

    def compute_analytics_summary(self, records: Any) -> dict[str, Any]:
        """None, for the same reason; gradio builds a table of all calls after each of them."""
        return self.cached_event_analytics_summary

    def start(self) -> None:
        super().start()
        run_coro_in_background(self._watch)

    async def push(self, body: Any, request: Any, username: str | None) -> Any:
        """Take a call in.

        Raises:
            HTTPException: 429 when its client has too many; 422 for a session without a sane name.
        """
        session = body.session_hash
        if session is not None and not 0 < len(session) <= LONGEST_SESSION:
            raise HTTPException(422, f"the name of a session has 1 to {LONGEST_SESSION} characters")
        mine = client(request)
        places = sum(client(event.request) == mine for event in self.event_ids_to_events.values())
        if places >= MOST_OPEN:
            raise HTTPException(
                429, f"you have {places} calls open here: wait until one of them has ended"
            )
        if session is None:
            session = body.session_hash = uuid.uuid4().hex
        if session not in self.pending_messages_per_session:
            self.pending_messages_per_session[session] = Mailbox()
        self.pending_messages_per_session[session].heard = time.monotonic()
        return await super().push(body, request, username)

    def sweep(self) -> None:
        """Give up the calls nobody listens to, and what is kept for nobody."""
        events = list(self.event_ids_to_events.values())
        for event in events:
            if not event.alive or self._silence(event.session_hash) > SILENCE:
                self._give_up(event)
        busy = {event.session_hash for event in events}
        for session in list(self.pending_messages_per_session):
            if session not in busy and self._silence(session) > KEPT:
                del self.pending_messages_per_session[session]
        for session in list(self.pending_event_ids_session):
            if session not in busy and session not in self.pending_messages_per_session:
                del self.pending_event_ids_session[session]

    def _silence(self, session: str) -> float:
        mailbox = self.pending_messages_per_session.get(session)
        return mailbox.silence if mailbox is not None else float("inf")

    def _give_up(self, event: Event) -> None:
        if event.alive:
            told = {
                "error": jobs.UNHEARD,
                "title": "Not possible",
                "visible": True,
                "duration": None,
            }
            self.send_message(event, ProcessCompletedMessage(output=told, success=False))
            event.alive = False  # movies end at their next frame
        waiting = self.event_queue_per_concurrency_id[event.concurrency_id].queue
        if event in waiting:
            waiting.remove(event)
            del self.event_ids_to_events[event._id]
        else:
            job_of(event).stop()

    async def _watch(self) -> None:
        while not self.stopped:
            self.sweep()
            await asyncio.sleep(PAUSE)


def job_of(event: Event) -> jobs.Job:
    """The one job of a call, however often its function yields."""
    job = getattr(event, "job", None)
    if job is None:
        job = event.job = jobs.Job()
    return job


def client(request: Any) -> str:
    """Who asks: an address, of IPv6 the network of one customer.

    The address of a proxy stands for all behind it, unless the demo was told to trust it.
    """
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
