"""Customers' certificates on their way from the store into the key process.

Rules:
1. The store is what lasts; the key process has what the store has, at its start and after each change.
2. Only trusted bindings are sealed to and believed; a candidate is kept for a person to look at, a rejected one isn't
   given to the key process at all.
3. A certificate that is expired, revoked or can't encrypt is of no use for an answer; whether an answer then may leave
   in clear is the policy's question, never this one's.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, func, select

from gateway.ids import Clock
from gateway.log import Log, LogEvent
from gateway.store.contacts import Bound, Contacts, Trust
from gateway.store.database import Database
from gateway.store.schema import certificates as table
from gateway.workshop import Workshop
from keys import directory
from keys.errors import KeysError, Unavailable
from keys.openpgp import Certificate, Fingerprint

_TRUST = {Trust.TRUSTED: directory.Trust.MANUAL, Trust.CANDIDATE: directory.Trust.CANDIDATE}


class Certificates:
    """The key process's directory, kept like the store's."""

    def __init__(self, *, database: Database, contacts: Contacts, workshop: Workshop, clock: Clock, log: Log) -> None:
        self._database, self._contacts, self._workshop = database, contacts, workshop
        self._clock, self._log = clock, log
        self._state: tuple[int, int] | None = None
        self._known: dict[Fingerprint, Certificate] = {}
        self._expires: datetime | None = None

    async def refresh(self) -> bool:
        """Feeds what changed. True when anything did, or one of them expired since. Raises StoreError,
        keys.errors.Unavailable."""
        state = await self._database.read(_state)
        if state == self._state:
            return self._one_expired()
        bound = await self._all()
        keep = {Fingerprint(one.fingerprint) for one in bound}
        for fingerprint in tuple(self._known):
            if fingerprint not in keep:
                await self._workshop.with_keys(partial(self._drop, fingerprint))
                del self._known[fingerprint]
        for one in bound:
            await self._workshop.with_keys(partial(self._import, one))
        known = await self._workshop.with_keys(self._workshop.agent.certificates)
        self._known = {certificate.fingerprint: certificate for certificate in known}
        self._state = state
        self._await_expiry()
        self._workshop.certificates_changed()
        return True

    def usable(self, bound: Iterable[Bound]) -> tuple[Fingerprint, ...]:
        """Those of the trusted ones that an answer can be sealed to now."""
        return self.usable_named(one.fingerprint for one in bound if one.trust is Trust.TRUSTED)

    def usable_named(self, trusted: Iterable[str]) -> tuple[Fingerprint, ...]:
        """As `usable`, by the fingerprints of trusted ones."""
        now = self._clock.now()
        found = []
        for fingerprint in trusted:
            certificate = self._known.get(Fingerprint(fingerprint))
            if certificate is None or certificate.revoked:
                continue
            if certificate.can_encrypt and (certificate.expires_at is None or certificate.expires_at > now):
                found.append(certificate.fingerprint)
        return tuple(dict.fromkeys(found))

    def _one_expired(self) -> bool:
        """Whether the one that was to expire first has. Then the next one is waited for."""
        if self._expires is None or self._expires > self._clock.now():
            return False
        self._await_expiry()
        return True

    def _await_expiry(self) -> None:
        now = self._clock.now()
        ends = (one.expires_at for one in self._known.values() if one.expires_at is not None)
        self._expires = min((end for end in ends if end > now), default=None)

    async def _all(self) -> list[Bound]:
        found: list[Bound] = []
        cursor = ""
        while True:
            page, cursor = await self._contacts.all_certificates(cursor)
            found += [one for one in page if one.trust in _TRUST]
            if not cursor:
                return found

    def _import(self, one: Bound) -> None:
        try:
            self._workshop.agent.import_certificate(one.certificate, [one.address], _TRUST[one.trust], decided=True)
        except Unavailable:
            raise
        except KeysError as error:
            self._log.fault(error, LogEvent.CERTIFICATE_UNUSABLE)

    def _drop(self, fingerprint: Fingerprint) -> None:
        self._workshop.agent.drop_certificate(fingerprint)


def _state(connection: Connection) -> tuple[int, int]:
    row = connection.execute(select(func.count(), func.coalesce(func.max(table.c.changed_at), 0))).one()
    return int(row[0]), int(row[1])
