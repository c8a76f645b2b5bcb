"""The layers: all that a message must pass, and in which order, as data.

    ADMISSION   in the sender's session, before the acknowledgement      Inbound
    INSPECTION  after opening                                            Opened
    RELEASE     after sanitizing, before the agents' queue               Sanitized
    OUTBOUND    before a reply or notice is protected and sent           Reply

A check stands in one file with its rules; adding one takes that file and one line here.
"""

from __future__ import annotations

from typing import Final

from channels.contract import Inbound
from gateway.checks.active import ActiveContent
from gateway.checks.authentication import SenderAuthentication
from gateway.checks.downgrade import NoDowngrade, Sound
from gateway.checks.encryption import Decryption, EncryptionDemanded
from gateway.checks.leak import NothingTyped
from gateway.checks.rate import PER_PEER, PER_SENDER, Rate
from gateway.checks.replay import Replay
from gateway.checks.signature import Signatures
from gateway.checks.size import Size
from gateway.checks.structure import Structure
from gateway.checks.transport import TransportSecurity
from gateway.checks.tripwire import NothingReadable, SafeForms
from gateway.layers import Layer
from gateway.opened import Opened
from gateway.reply import Reply
from gateway.sanitized import Sanitized


def admission(*, per_peer: int = PER_PEER, per_sender: int = PER_SENDER) -> Layer[Inbound]:
    """ADMISSION with the company's own rates: messages of one peer and of one sender in the running window."""
    return Layer("admission", (TransportSecurity(), Size(), Rate(per_peer, per_sender)))


ADMISSION: Final = admission()
INSPECTION: Final[Layer[Opened]] = Layer(
    "inspection",
    (
        Decryption(), EncryptionDemanded(), Signatures(), Structure(), SenderAuthentication(), Replay(),
        ActiveContent(),
    ),
)  # fmt: skip
RELEASE: Final[Layer[Sanitized]] = Layer("release", (NothingReadable(), SafeForms()))
OUTBOUND: Final[Layer[Reply]] = Layer("outbound", (Sound(), NoDowngrade(), NothingTyped()))
