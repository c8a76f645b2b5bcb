"""The same with nothing of ours in between: `vestibule up`'s own supervisor, roles started as programs, real limits."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
from house import LIMITS, command
from ledger import judge, look
from mta import Mta
from roles import Gateway

pytestmark = pytest.mark.timeout(300)


def test_supervisor_and_roles_die_and_each_letter_is_there_once(tmp_path: Path) -> None:
    settings = {"notices": "first_contact = false\nheld = false", "edge": LIMITS}
    with Gateway(tmp_path / "g", settings=settings) as gateway:
        mta = Mta("real", lambda: gateway.smtp_port)
        for kind in ("edge", "keys", "edge", "supervisor"):
            mta.post(6)
            mta.acknowledged(len(mta.sent))
            if kind == "supervisor":
                fall(gateway)
                gateway.start()
            elif kind == "keys":
                below = psutil.Process(gateway.pid("inspector")).children()
                os.kill(next(one.pid for one in below if "keys.agent" in command(one.pid)), signal.SIGKILL)
            else:
                gateway.kill(kind)
            mta.flush(90)
        gateway.wait_for(lambda: gateway.rows("SELECT count(*) FROM spool") == [(0,)], 60, "the spool to be worked off")
        tally = judge(look(gateway), mta.sent, mta.refused)
        assert tally.sound, tally.details
        assert tally.queued == 24
        mta.stop()


def fall(gateway: Gateway) -> None:
    """Nobody is there to end the roles: they end by themselves, in order."""
    below = psutil.Process(gateway.process.pid).children(recursive=True)
    gateway.process.kill()
    gateway.process.wait()
    _, left = psutil.wait_procs(below, timeout=40)
    assert not left, [command(one.pid) for one in left]
