"""Async clients for code without asyncio: an event loop in a thread of its own. Knows nothing of any API."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar


class Closable(Protocol):
    """A client with connections to close."""

    async def aclose(self) -> None:
        """Close all connections."""


C = TypeVar("C", bound=Closable)
R = TypeVar("R")


class BlockingClient(Generic[C]):
    """Runs an async client in a background thread; close it, or use it in `with`."""

    _make: ClassVar[Callable[..., Any]]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        # A daemon, so that a script which forgets to close ends all the same.
        self._thread = threading.Thread(target=self._loop.run_forever, name="ayne-client", daemon=True)
        self._thread.start()

        async def make() -> C:
            client: C = type(self)._make(*arguments, **options)
            return client

        try:
            self._client: C = self._call(make)
        except BaseException:
            self._end_thread()
            raise

    def _call(self, method: Callable[..., Coroutine[Any, Any, R]], *arguments: Any, **options: Any) -> R:
        return asyncio.run_coroutine_threadsafe(method(*arguments, **options), self._loop).result()

    def close(self) -> None:
        """Close all connections and end the thread; a second time it does nothing."""
        if self._loop.is_closed():
            return
        try:
            self._call(self._client.aclose)
        finally:
            self._end_thread()

    def _end_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
