"""The layers: all that a message must pass, and in which order, as data.

    ADMISSION   in the sender's session, before the acknowledgement      Inbound
    INSPECTION  after opening                                            Opened
    RELEASE     after sanitizing, before the agents' queue               Sanitized
    OUTBOUND    before a reply or notice is protected and sent           Reply

A check stands in one file with its rules; adding one takes that file and one line here.
"""

from __future__ import annotations

from typing import Final

from gateway.checks.downgrade import NoDowngrade, Sound
from gateway.checks.leak import NothingTyped
from gateway.checks.tripwire import NothingReadable, SafeForms
from gateway.layers import Layer
from gateway.reply import Reply
from gateway.sanitized import Sanitized

RELEASE: Final[Layer[Sanitized]] = Layer("release", (NothingReadable(), SafeForms()))
OUTBOUND: Final[Layer[Reply]] = Layer("outbound", (Sound(), NoDowngrade(), NothingTyped()))
