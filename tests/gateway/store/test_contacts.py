"""Contacts and their certificates."""

from __future__ import annotations

from store_rows import ALICE, BOB, House

from channels.contract import Address
from gateway.store.contacts import Provenance, Trust

FIRST, SECOND = "A" * 40, "B" * 40


async def bind(
    house: House, address: Address, fingerprint: str, trust: Trust, how: Provenance = Provenance.ADMIN
) -> bool:
    return await house.contacts.bind("email", address, fingerprint, b"certificate " + fingerprint.encode(), trust, how)


async def test_a_certificate_is_bound_changed_and_unbound(house: House) -> None:
    assert await house.contacts.certificates("email", ALICE) == ()
    assert await bind(house, ALICE, FIRST, Trust.TRUSTED)
    assert not await bind(house, ALICE, FIRST, Trust.TRUSTED), "it stands so already"
    (bound,) = await house.contacts.certificates("email", Address("Alice@EXAMPLE.org"))
    assert (bound.address, bound.fingerprint, bound.trust, bound.provenance) == (
        ALICE, FIRST, Trust.TRUSTED, Provenance.ADMIN,
    )  # fmt: skip
    assert bound.certificate == b"certificate " + FIRST.encode()
    assert await bind(house, ALICE, FIRST, Trust.REJECTED)
    (bound,) = await house.contacts.certificates("email", ALICE)
    assert bound.trust is Trust.REJECTED
    assert await house.contacts.certificates("email", BOB) == ()
    assert await house.contacts.unbind("email", ALICE, FIRST)
    assert not await house.contacts.unbind("email", ALICE, FIRST)
    assert not await house.contacts.unbind("email", BOB, FIRST)


async def test_what_came_along_never_changes_what_a_person_decided(house: House) -> None:
    for trust in (Trust.TRUSTED, Trust.REJECTED):
        await bind(house, ALICE, FIRST, trust)
        assert not await bind(house, ALICE, FIRST, Trust.CANDIDATE, Provenance.MESSAGE)
        (bound,) = await house.contacts.certificates("email", ALICE)
        assert bound.trust is trust
    assert await bind(house, ALICE, SECOND, Trust.CANDIDATE, Provenance.MESSAGE)
    assert len(await house.contacts.certificates("email", ALICE)) == 2


async def test_binding_makes_the_contact_that_a_message_then_finds(house: House) -> None:
    await bind(house, ALICE, FIRST, Trust.TRUSTED)
    contact = await house.contacts.find("email", ALICE)
    filed = await house.receive()
    assert filed.contact == contact
    assert filed.first_contact, "an admin may know a customer before they write"
    known = await house.queue.correspondence(filed.conversation)
    assert known is not None
    assert [one.fingerprint for one in known.bound] == [FIRST]


async def test_all_certificates_come_in_pages(house: House) -> None:
    people = [Address(f"p{number}@example.org") for number in range(5)]
    for person in people:
        await bind(house, person, FIRST, Trust.TRUSTED)
    await bind(house, people[0], SECOND, Trust.TRUSTED)
    seen, cursor = [], ""
    while True:
        page, cursor = await house.contacts.all_certificates(cursor, 2)
        seen += page
        if not cursor:
            break
    assert sorted((one.address, one.fingerprint) for one in seen) == sorted(
        [*((person, FIRST) for person in people), (people[0], SECOND)]
    )
    assert "certificate A" not in repr(seen)
