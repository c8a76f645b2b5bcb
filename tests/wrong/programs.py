"""Every marked line must be a type error: these are programs that must not be written."""

from channels.contract import Address, Inbound, ThreadKey
from gateway.checks import ADMISSION, INSPECTION, RELEASE
from gateway.crossing import pack_admitted, pack_outcome
from gateway.layers import Layer, Passed
from gateway.opened import Opened
from gateway.reply import ClearPermit, Reply
from gateway.sanitized import SafeText, Sanitized
from gateway.sanitizing import sanitize
from gateway.store.queue import Queue
from gateway.store.spool import Claim
from keys.openpgp import Sealed
from keys.secret import Secret


async def leak(queue: Queue, claim: Claim, o: Opened, i: Inbound, s: Sanitized, po: Passed[Opened]) -> None:
    await queue.put(claim, o)  # 1
    await queue.put(claim, o.text)  # 2
    await queue.put(claim, s)  # 3
    await queue.put(claim, po)  # 4
    sanitize(o)  # 5
    sanitize(s)  # 6
    pack_admitted(i)  # 7
    await INSPECTION.require(i)  # 8
    await RELEASE.require(o)  # 9
    await ADMISSION.require(o)  # 10


bad: Layer[Inbound] = INSPECTION  # 11
worse: Layer[Opened] = RELEASE  # 12


def want_address(a: Address) -> None: ...
def want_text(s: str) -> None: ...
def want_safe(s: SafeText) -> None: ...
def compose(reply: Passed[Reply], protected: Sealed | ClearPermit) -> None: ...


def more(reply: Reply, passed: Passed[Reply]) -> None:
    want_address("plain string")  # 13
    want_address(ThreadKey("t"))  # 14
    want_text(Secret("x"))  # 15
    want_safe("typed by a customer")  # 16
    compose(reply, Sealed(b""))  # 17
    compose(passed, b"in clear")  # 18
    compose(passed, None)  # 19
    pack_outcome(reply, b"")  # 20
