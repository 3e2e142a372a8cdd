"""Async clients for code without asyncio: an event loop in a thread of its own. Knows nothing of any API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from anyio.from_thread import start_blocking_portal


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
        self._portal_context = start_blocking_portal()
        self._portal = self._portal_context.__enter__()

        async def make() -> C:
            client: C = type(self)._make(*arguments, **options)
            return client

        try:
            self._client: C = self._portal.call(make)
        except BaseException:
            self._portal_context.__exit__(None, None, None)
            raise

    def _call(self, method: Callable[..., Awaitable[R]], *arguments: Any) -> R:
        return self._portal.call(method, *arguments)

    def close(self) -> None:
        """Close all connections and end the thread."""
        self._portal.call(self._client.aclose)
        self._portal_context.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
