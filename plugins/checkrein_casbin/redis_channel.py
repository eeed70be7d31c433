"""Follows a channel of Redis: whatever is published there says that the policy changed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from checkrein.errors import SettingsError

if TYPE_CHECKING:
    from redis.client import PubSub

    from .options import RedisOptions

__all__ = ["RedisChannel"]

# In seconds: how long a connection may take; how often it is looked whether the channel was closed; how long
# silence lasts before Redis is asked whether it is there, and again before it is given up; between tries.
_CONNECT: Final = 5
_TICK: Final = 0.5
_SILENCE: Final = 15
_PAUSE: Final = 1


class RedisChannel:
    """A daemon thread that listens; what `redis-watcher` publishes is heard as well.

    That package's own subscriber is not used: it tells nobody of a connection that was lost and came back, so
    that changes in between are missed; it cannot be closed; it prints to stdout, where decision logs stand.

    Args:
        options: where to listen.
        changed: is called for every message, and whenever listening begins.

    Raises:
        SettingsError: Redis cannot be followed there, or its library is not installed.
    """

    def __init__(self, options: RedisOptions, changed: Callable[[], None]) -> None:
        try:
            from redis import Redis  # noqa: PLC0415 -- for whoever follows Redis
            from redis.backoff import NoBackoff  # noqa: PLC0415 -- the same
            from redis.exceptions import RedisError  # noqa: PLC0415 -- the same
            from redis.retry import Retry  # noqa: PLC0415 -- the same
        except ModuleNotFoundError as error:
            raise SettingsError("the watcher `redis` needs `redis`; run: pip install redis") from error
        self._changed = changed
        self._channel = options.channel
        self._ended = Event()
        self._client: Any = Redis(
            host=options.host,
            port=options.port,
            password=None if options.password is None else options.password.get_secret_value(),
            ssl=options.tls,
            socket_connect_timeout=_CONNECT,
            socket_timeout=_CONNECT,  # a TLS handshake too
            retry=Retry(NoBackoff(), 0),  # or the library would connect again in silence
        )
        try:
            self._subscription = self._subscribed()
        except (RedisError, OSError) as error:
            place, cause = f"`{options.host}:{options.port}`", f"`{type(error).__name__}`"
            raise SettingsError(
                f"Redis at {place} cannot be followed: {cause}; check its host, port and password"
            ) from None
        self._changed()  # since the policy was read, perhaps
        Thread(target=self._run, name="checkrein-redis", daemon=True).start()

    def close(self) -> None:
        """Stop listening, within a moment; may be called again."""
        self._ended.set()

    def _subscribed(self) -> PubSub:
        subscription: PubSub = self._client.pubsub()
        subscription.subscribe(self._channel)
        if subscription.get_message(timeout=_CONNECT) is None:
            raise TimeoutError
        return subscription

    def _run(self) -> None:
        while not self._ended.is_set():
            with suppress(Exception):  # whatever it is, there is nobody to tell, and the next try may do
                self._listen()
            with suppress(Exception):
                self._subscription.close()
            if not self._ended.wait(_PAUSE):
                with suppress(Exception):
                    self._subscription = self._subscribed()
                    self._changed()
        self._client.close()

    def _listen(self) -> None:
        heard, asked = monotonic(), False
        while not self._ended.is_set():
            message = self._subscription.get_message(timeout=_TICK)
            if message is not None:
                heard, asked = monotonic(), False
                if message["type"] != "pong":
                    self._changed()
            elif monotonic() - heard >= _SILENCE:
                if asked:
                    return
                self._subscription.ping()
                heard, asked = monotonic(), True
