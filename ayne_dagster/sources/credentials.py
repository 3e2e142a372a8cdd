"""The key of an API: added just above the wire, and taken out of whatever comes up. Knows no API and no limits.

No URL, log line or exception above this layer ever holds a key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

import httpx

from ayne_dagster.sources.errors import InvalidCredentials, MalformedAnswer, SourceError


class CredentialsTransport(httpx.AsyncBaseTransport):
    """Adds the key on the way down, and takes it out of whatever comes up.

    Args:
        inner: what sends.
        headers: credentials that go into headers.
        parameters: credentials that go into the query.
        secrets: others to be taken out of what comes up, such as the password in an address.

    Raises:
        InvalidCredentials: a key that cannot be sent, for it holds what no key does.
    """

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        *,
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
        secrets: Iterable[str] = (),
    ) -> None:
        self._inner = inner
        values = [*(headers or {}).values(), *(parameters or {}).values()]
        for value in values:
            _require_key(value)
        self._raw_headers = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        self._parameters = dict(parameters or {})
        self._secrets = spellings(word for value in (*values, *secrets) for word in value.split())
        self._secret_bytes = [secret.encode() for secret in self._secrets]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a copy of the request that has the key; the answer belongs to the one without."""
        signed = httpx.Request(
            request.method,
            request.url.copy_merge_params(self._parameters) if self._parameters else request.url,
            headers=[*request.headers.raw, *self._raw_headers],
            content=request.content or None,
            extensions=request.extensions,
        )
        failure: SourceError | httpx.TransportError
        try:
            response = await self._inner.handle_async_request(signed)
        except MalformedAnswer as error:
            failure = MalformedAnswer(self._redacted(error.reason), self._redacted_bytes(error.body))
        except SourceError as error:
            failure = type(error)(self._redacted(str(error)))
            failure.requests = error.requests
        except httpx.TransportError as error:
            failure = type(error)(self._redacted(str(error)), request=request)
        else:
            return self._answer(response, request)
        # Raised out here, since inside the handler it would carry the original along, with the signed request.
        raise failure

    def _answer(self, response: httpx.Response, request: httpx.Request) -> httpx.Response:
        """The answer to the request without the key, and without the key in its body and headers."""
        content, headers = response.content, response.headers.raw
        if any(secret in text for secret in self._secret_bytes for text in (content, *(v for _, v in headers))):
            headers = [(n, self._redacted_bytes(v)) for n, v in headers if n.lower() != b"content-length"]
            response = httpx.Response(response.status_code, headers=headers, content=self._redacted_bytes(content))
        response.request = request
        return response

    def _redacted(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text

    def _redacted_bytes(self, body: bytes) -> bytes:
        for secret in self._secret_bytes:
            body = body.replace(secret, b"...")
        return body

    async def aclose(self) -> None:
        """Close the layers below."""
        await self._inner.aclose()


def spellings(secrets: Iterable[str]) -> list[str]:
    """Secrets as they stand, and as addresses write them.

    Words shorter than any real key (OMDb's has 8 letters) stay: the stand-in's `demo` is a word of many plots.
    """
    spelled = {form for s in secrets if len(s) >= 8 for form in (s, quote(s), quote(s, safe=""), quote_plus(s))}
    return sorted(spelled - {"Bearer"}, key=len, reverse=True)


def _require_key(value: str) -> None:
    """Refuse what an HTTP library would choke on, at every request anew."""
    if not (value.isascii() and value.isprintable()):
        raise InvalidCredentials(
            "The key holds a line break, a control character or a letter beyond ASCII, which no key does: copy it anew."
        )
