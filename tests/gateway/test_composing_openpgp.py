"""A sealed reply, read by the customer: real gpg opens it, and our own reader finds the real subject in it."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime

import letters
from messages import passed, reply

from channels.contract import Address, MailboxName
from gateway.composing import compose, inner
from gateway.jobs import MailboxFace
from gateway.opened import Oddity, Protection
from keys.openpgp import Sealed
from keys.testing import House, encrypted

FACE = MailboxFace(
    name=MailboxName("support"), address=Address("support@acme.example"), sender_name="Acme", signature="Acme"
)
AT = datetime(2026, 11, 25, 9, tzinfo=UTC)


def reply_to_alice(house: House, *, to: bytes) -> bytes:
    alice = house.people["alice"]
    message = passed(
        reply(subject="Re: Señal 17", text="Está en camino.\n\nAnn", certificates=(alice.fingerprint,), references=())
    )
    payload = inner(message, FACE, reply_to=Address("support+c1.x@acme.example"), at=AT).reveal()
    sealed = Sealed(encrypted(payload, to=[to]))
    return compose(message, sealed, FACE, reply_to=Address("support+c1.x@acme.example"), at=AT).reveal()


def test_the_customers_gpg_opens_it(house: House) -> None:
    alice = house.people["alice"]
    outer = email.message_from_bytes(reply_to_alice(house, to=alice.certificate), policy=email.policy.default)
    assert outer["Subject"] == "[...]"
    opened = email.message_from_bytes(
        alice.gpg("--decrypt", stdin=list(outer.iter_parts())[1].get_content()), policy=email.policy.default
    )
    assert opened["Subject"] == "Re: Señal 17"
    assert opened.get_content().startswith("Está en camino.")


async def test_our_own_reader_takes_its_protected_header(house: House, opener: letters.HouseOpener) -> None:
    """Sealed to the company instead, so that the gateway itself reads what it writes."""
    raw = reply_to_alice(house, to=house.support_certificate)
    opened = await letters.opened(raw, opener)
    assert opened.protection is Protection.FULL
    assert opened.subject_encrypted
    assert opened.subject.reveal() == "Re: Señal 17"
    assert opened.text.reveal().startswith("Está en camino.\n")
    assert opened.author == "support@acme.example"
    assert not set(opened.oddities) & {Oddity.PHONY_PROTECTED_HEADER, Oddity.OUTER_INNER_FROM_DIFFER}
