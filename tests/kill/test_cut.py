"""The answer to the final dot is cut at every byte.

On the way in there is one message, whatever the sender heard. On the way out the reply is in doubt, which is shown, and
isn't sent again by itself.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from house import House
from ledger import check, settle
from letterbox import arrived, message_id, states
from mta import Connection, Mta, letter
from sink import Mail

pytestmark = pytest.mark.timeout(300)
ANSWER = b"250-2.6.0 It is here\r\n250 2.0.0 Thanks\r\n"


class Cutter:
    """An SMTP server that keeps each mail, says so many bytes of its answer, and hangs up. `plan`: how many, mail after
    mail; `said`: how many it were, by Message-ID."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.said: dict[str, int] = {}
        self.plan: list[int] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        threading.Thread(target=self._main, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _main(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer, peer.makefile("rb") as lines, suppress(OSError):
            peer.sendall(b"220 sink.example.org\r\n")
            for line in lines:
                verb = line[:4].upper()
                if verb == b"DATA":
                    peer.sendall(b"354 Go on\r\n")
                    raw = b""
                    while not raw.endswith(b"\r\n.\r\n"):
                        raw += lines.readline()
                    with self._lock:
                        self.mails.append(Mail("", [], raw))
                        cut = self.plan.pop(0)
                        found = re.search(rb"(?im)^message-id:\s*(<[^>]+>)", raw)
                        self.said[found[1].decode() if found else "?"] = cut
                    peer.sendall(ANSWER[:cut])
                    return
                peer.sendall(b"250 Fine\r\n" if verb != b"QUIT" else b"221 Bye\r\n")


@pytest.fixture(scope="module")
def cutter() -> Iterator[Cutter]:
    made = Cutter()
    yield made
    made.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, cutter: Cutter) -> Iterator[House]:
    made = House(
        tmp_path_factory.mktemp("cut") / "g", smarthost_port=cutter.port,
        settings={"notices": "first_contact = false\nheld = false"},
    )  # fmt: skip
    try:
        made.prepare()
        made.start()
        yield made
    finally:
        made.close()


def test_a_250_cut_at_every_byte_is_one_message_with_one_id(house: House) -> None:
    mta = Mta("cut", lambda: house.port)
    whole = Connection(house.port).send(letter("tokwholex000001", "whole@example.org"))
    for octets in range(len(whole) + 3):  # and its CRLF
        one = letter(f"tokcutx{octets:06d}", mta.sender)
        got = Connection(house.port).send(one, cut=octets)
        assert len(got) == octets
        mta.adopt(one)
    mta.flush()
    settle(house)
    tally = check(house, [mta, adopted("tokwholex000001", whole)], order=False)
    print(tally)
    assert tally.sound, tally.details
    assert tally.recovered == len(whole) + 3
    mta.stop()


def adopted(token: str, answer: bytes) -> Mta:
    """A sender that has sent one letter."""
    mta = Mta("whole", lambda: 0)
    one = letter(token, "whole@example.org")
    one.id, one.at = answer.split()[-1].decode(), 0
    mta.sent.append(one)
    return mta


def test_a_reply_whose_answer_is_cut_at_every_byte_is_in_doubt_and_sent_once(house: House, cutter: Cutter) -> None:
    mta = Mta("out", lambda: house.port, thread=False)
    cuts = range(len(ANSWER) + 1)
    mta.post(len(cuts))
    mta.flush()
    settle(house)
    ids = {one.id for one in mta.sent}
    talks = [str(talk) for id, talk in house.rows("SELECT id, conversation_id FROM messages") if id in ids]
    assert len(set(talks)) == len(cuts)
    cutter.plan += cuts
    replies = [house.reply(talk, "It is on its way.") for talk in talks]

    def left() -> bool:
        found = [state for state, _ in states(house).values()]
        return len(found) == len(cuts) and set(found) <= {"sent", "doubt", "refused"}

    house.wait_for(left, 90, "every reply to leave")
    came, found = arrived(cutter.mails), states(house)
    for reply in replies:
        said = cutter.said[message_id(reply)]
        assert came[message_id(reply)] == 1, said
        state, reason = found[reply]
        if said == len(ANSWER):
            assert state == "sent"
        else:
            assert (state, reason) == ("doubt", "connection.lost-after-body"), (ANSWER[:said], state, reason)
    mta.stop()
