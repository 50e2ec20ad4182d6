"""Calls of a server that may be slow, or away for a while: made in their order, on a thread of their own."""

import threading
from collections import deque
from collections.abc import Callable

from pipeline.amounts import rough_duration
from pipeline.counted import first_of
from pipeline.errors import first_line

PAUSE = 30.0
"""Seconds between two tries of a server that does not answer."""
_SHOWN = 8
"""How many of the calls that were lost are named."""

Call = Callable[[], object]


class Sender:
    """Makes calls one after the other, so that who orders them need not wait.

    A call that fails because the server does not answer is made again until it does, and so are, after it, those that
    came meanwhile; one that the server refuses is lost.

    Args:
        server: What the server is called in what is told.
        may_pass: Whether an error is of a server that does not answer.
        pause: Seconds between two tries.
    """

    def __init__(self, server: str, may_pass: Callable[[Exception], bool], pause: float = PAUSE) -> None:
        self._server = server
        self._may_pass = may_pass
        self._pause = pause
        self._calls: deque[tuple[str, Call]] = deque()
        self._lost: list[str] = []
        self._news: list[str] = []
        self._reason = ""
        self._is_away_told = False
        self._is_closing = False
        self._is_over = False
        self._changed = threading.Condition()
        # Of no concern to the end of the process: a server that never answers must not keep it.
        self._thread = threading.Thread(target=self._work, name=f"sender to {server}", daemon=True)
        self._thread.start()

    def put(self, what: str, call: Call) -> None:
        """Order a call.

        Args:
            what: What it brings to the server, for telling that it is lost.
            call: Raises an error where that fails; may be called again then.
        """
        with self._changed:
            self._calls.append((what, call))
            self._changed.notify_all()

    def news(self) -> list[str]:
        """Return what went wrong since this was asked last."""
        with self._changed:
            news, self._news = self._news, []
            return news

    def close(self, seconds: float) -> None:
        """Make the calls that are left, each tried once more, for so many seconds at most. What is lost is news."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(seconds)
        with self._changed:
            lost = dict.fromkeys([*self._lost, *(what for what, _ in self._calls)])
            if lost:
                late = f" after {rough_duration(seconds)} of waiting" if self._thread.is_alive() else ""
                why = f": {self._reason}" if self._reason else ""
                lacking = f"{self._server} lacks{late} what only the run's folder has: {first_of(list(lost), _SHOWN)}"
                self._news.append(f"{lacking}{why}")
            self._is_over = True

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._calls or self._is_closing)
                if not self._calls or self._is_over:
                    return
                what, call = self._calls[0]
            try:
                call()
            except Exception as error:  # noqa: BLE001  # clients raise errors of many kinds, and none may stop the run
                if not self._goes_on(what, error):
                    return
            else:
                self._forget_first()

    def _goes_on(self, what: str, error: Exception) -> bool:
        """Note that the first call failed; return whether there is a point in going on."""
        reason = reason_of(error)
        with self._changed:
            self._reason = reason
            if not self._may_pass(error):
                if not self._lost:
                    self._news.append(f"{self._server} refuses {what}: {reason}; the run goes on without that")
                self._lost.append(what)
                self._calls.popleft()
                return True
            if self._is_closing:
                return False
            if not self._is_away_told:
                self._is_away_told = True
                kept = "the run goes on, and what is to be logged is kept until it does"
                self._news.append(f"{self._server} does not answer: {reason}; {kept}")
            self._changed.wait_for(lambda: self._is_closing, timeout=self._pause)
            return True

    def _forget_first(self) -> None:
        with self._changed:
            self._calls.popleft()


def reason_of(error: Exception, longest: int = 400) -> str:
    """Return what an error says in its first line, cut short where that is long."""
    text = first_line(error)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
