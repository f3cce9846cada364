"""Connections that bring no request: closed after a while, so that nobody holds all there are."""

import asyncio
from typing import Any

HEAD_TIME = 20.0  # seconds in which the head of a request arrives whole


def impatient(protocol: Any) -> Any:
    """One of uvicorn's protocols, which waits for the head of a request only so long.

    uvicorn itself waits for ever, before the first request of a connection and within each.
    """

    class Impatient(protocol):
        _waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._expect()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._expect()

        def connection_lost(self, error: Exception | None) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
            super().connection_lost(error)

        def _expect(self) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
            self._waiting = self.loop.call_later(HEAD_TIME, self._give_up)

        def _give_up(self) -> None:
            if self.cycle is None or self.cycle.response_complete:  # no request is being answered
                self.transport.close()

    return Impatient
