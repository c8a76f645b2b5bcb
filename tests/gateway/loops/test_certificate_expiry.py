"""A customer's certificate that runs out: how their reply would leave is noted anew, by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bench_hands import Pages
from bench_hands import Workshop as Hands
from store_rows import ALICE, House

from gateway.certificates import Certificates
from gateway.store.contacts import Provenance, Trust
from keys.openpgp import Certificate, Fingerprint

FIRST, SECOND = Fingerprint("A" * 40), Fingerprint("B" * 40)


@dataclass
class Directory:
    """The key process's directory."""

    there: list[Certificate] = field(default_factory=list)

    def certificates(self) -> list[Certificate]:
        return self.there

    def import_certificate(self, *_: Any, **__: Any) -> None:
        pass


class Workshop(Hands):
    def certificates_changed(self) -> None:
        pass


async def test_each_expiry_is_told_once_and_when_it_comes(house: House) -> None:
    now = house.clock.now()
    ends = {FIRST: now + timedelta(hours=1), SECOND: now + timedelta(hours=2)}
    for fingerprint in ends:
        await house.contacts.bind("email", ALICE, fingerprint, b"certificate", Trust.TRUSTED, Provenance.ADMIN)
    directory = Directory([
        Certificate(
            fingerprint=fingerprint, addresses=(ALICE,), created_at=now, expires_at=end, revoked=False, can_encrypt=True
        )
        for fingerprint, end in ends.items()
    ])  # fmt: skip
    certificates = Certificates(
        database=house.inspector, contacts=house.contacts, workshop=Workshop([], directory),  # type: ignore[arg-type]
        clock=house.clock, log=Pages(house.clock).log,
    )  # fmt: skip
    assert await certificates.refresh()
    assert not await certificates.refresh()
    told = []
    for _ in range(4):
        house.later(1800)
        told.append((await certificates.refresh(), certificates.usable_named([FIRST, SECOND])))
        assert not await certificates.refresh()
    assert told == [(False, (FIRST, SECOND)), (True, (SECOND,)), (False, (SECOND,)), (True, ())]
