"""When a call is made again.

Only calls whose repetition changes nothing are, and only when the server could not be reached or was going down
(UNAVAILABLE), or refused for want of room and said when to come back (RESOURCE_EXHAUSTED with `google.rpc.RetryInfo`;
without it the want does not pass by itself). The deadline holds for all tries together.
"""

import random
import time
from dataclasses import dataclass

from nbo.errors import NboError, ResourceExhausted, Unavailable


@dataclass(frozen=True)
class Retry:
    """How often and how soon a call is made again."""

    tries: int = 4
    """The most tries of one call, the first included; 1 never repeats."""
    first_wait: float = 0.05
    """About how many seconds pass before the second try; each later wait is twice as long."""
    longest_wait: float = 2.0
    """The longest wait, in seconds, unless the server asks for a longer one."""


class Tries:
    """The tries of one call."""

    def __init__(self, retry: Retry, within: float, bounded: bool = True) -> None:
        self._retry = retry
        self._within = within
        self._bounded = bounded
        self.begin()

    def begin(self) -> None:
        """Starts over, as after an answer of a stream."""
        self._failed = 0
        self._until = time.monotonic() + self._within

    def left(self) -> float:
        """How many seconds are left until the deadline."""
        return max(0.0, self._until - time.monotonic())

    def wait_after(self, fault: NboError) -> float | None:
        """How many seconds to wait before the next try; `None` when there is none."""
        self._failed += 1
        asked = fault.retry_after
        passes = isinstance(fault, Unavailable) or (isinstance(fault, ResourceExhausted) and asked is not None)
        if not passes or (self._bounded and self._failed >= self._retry.tries):
            return None
        # Half of each wait is left to chance, so that those who were refused together do not come back together.
        wait = min(self._retry.first_wait * 2.0 ** min(self._failed - 1, 30), self._retry.longest_wait)
        wait *= random.uniform(0.5, 1.0)
        if asked is not None:
            wait += asked
        return wait if wait < self.left() else None
