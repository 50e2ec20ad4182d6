import threading
import time
from collections.abc import Callable
from functools import partial

from pipeline.tracking.sender import Sender
from tests.waiting import PATIENCE


def is_away(error: Exception) -> bool:
    return isinstance(error, OSError)


def fail(error: Exception) -> None:
    raise error


def eventually(holds: Callable[[], object]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.005)
    return False


def test_sender_makes_calls_in_their_order() -> None:
    made: list[int] = []
    sender = Sender("the server", is_away)
    for number in range(50):
        sender.put(f"number {number}", partial(made.append, number))
    sender.close(10)
    assert (made, sender.news()) == (list(range(50)), [])


def test_sender_lets_nobody_wait() -> None:
    gate = threading.Event()
    sender = Sender("the server", is_away)
    sender.put("a", lambda: gate.wait(10))
    started = time.monotonic()
    for _ in range(1000):
        sender.put("b", lambda: None)
    assert time.monotonic() - started < 5
    gate.set()
    sender.close(10)
    assert sender.news() == []


def test_a_server_that_comes_back_gets_everything_in_order() -> None:
    made: list[str] = []
    tries: list[int] = []

    def flaky() -> None:
        tries.append(1)
        if len(tries) < 4:
            fail(ConnectionRefusedError("Connection refused"))
        made.append("a")

    sender = Sender("the server", is_away, pause=0.01)
    sender.put("a", flaky)
    sender.put("b", partial(made.append, "b"))
    assert eventually(lambda: made == ["a", "b"])
    sender.close(10)
    (told,) = sender.news()
    kept = "the run goes on, and what is to be logged is kept until it does"
    assert told == f"the server does not answer: Connection refused; {kept}"


def test_a_server_that_stays_away_is_told_twice_with_what_it_lacks() -> None:
    sender = Sender("the server", is_away, pause=60)
    for name in ("a", "b", "a"):
        sender.put(name, partial(fail, ConnectionRefusedError("Connection refused")))
    news: list[str] = []
    assert eventually(lambda: news.extend(sender.news()) or news)
    assert "does not answer" in news[0]
    started = time.monotonic()
    sender.close(30)
    assert time.monotonic() - started < 10
    assert sender.news() == ["the server lacks what only the run's folder has: a, b: Connection refused"]


def test_what_a_server_refuses_does_not_keep_back_the_rest() -> None:
    made: list[str] = []
    sender = Sender("the server", is_away)
    sender.put("a", partial(fail, ValueError("too long\nby far")))
    sender.put("b", partial(made.append, "b"))
    sender.put("c", partial(fail, KeyError()))
    sender.close(10)
    assert made == ["b"]
    assert sender.news() == [
        "the server refuses a: too long; the run goes on without that",
        "the server lacks what only the run's folder has: a, c: KeyError",
    ]


def test_a_server_that_never_answers_holds_nobody_up() -> None:
    gate = threading.Event()
    made: list[str] = []
    sender = Sender("the server", is_away)
    sender.put("a", lambda: gate.wait(60) and made.append("a"))
    sender.put("b", partial(made.append, "b"))
    started = time.monotonic()
    sender.close(0.1)
    assert time.monotonic() - started < 10
    (told,) = sender.news()
    assert told.endswith("what only the run's folder has: a, b")
    gate.set()
    assert eventually(lambda: made)
    assert made == ["a"]  # nothing more is begun


def test_a_long_list_of_what_is_lacking_is_cut() -> None:
    sender = Sender("the server", is_away)
    for number in range(20):
        sender.put(f"n{number}", partial(fail, ValueError("no")))
    sender.close(10)
    assert "n6, n7 and 12 more: no" in sender.news()[-1]
