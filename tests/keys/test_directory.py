"""Which certificate is believed to be whose: never an overwrite, only trusted entries bind."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from keys.directory import TRUSTED, Directory, Provenance, Standing, Trust, normal
from keys.errors import BadData, MissingKey
from keys.openpgp import Fingerprint

ALICE, OTHER = Fingerprint("A" * 40), Fingerprint("B" * 40)
ADDRESS = "alice@example.org"


@pytest.mark.parametrize("trust", Trust)
def test_only_a_trusted_entry_binds(trust: Trust) -> None:
    directory = Directory()
    entry = directory.propose(ADDRESS, ALICE, trust, Provenance.AUTOCRYPT)
    bound = trust in TRUSTED
    assert entry.standing is (Standing.BOUND if bound else Standing.CANDIDATE)
    assert directory.bound(ADDRESS) == ((ALICE,) if bound else ())
    assert directory.signers(ALICE) == ((ADDRESS,) if bound else ())


@pytest.mark.parametrize("trust", Trust)
def test_another_certificate_for_a_known_address_waits_whoever_brings_it(trust: Trust) -> None:
    directory = Directory()
    directory.propose(ADDRESS, ALICE, Trust.MANUAL, Provenance.ADMIN)
    assert directory.propose(ADDRESS.upper(), OTHER, trust, Provenance.WKD).standing is Standing.PENDING
    assert directory.bound(ADDRESS) == (ALICE,)
    assert [entry.fingerprint for entry in directory.pending()] == [OTHER]


def test_a_person_takes_a_change_or_not() -> None:
    directory = Directory()
    directory.propose(ADDRESS, ALICE, Trust.MANUAL, Provenance.ADMIN)
    directory.propose(ADDRESS, OTHER, Trust.CANDIDATE, Provenance.ATTACHED)
    directory.decide(ADDRESS, OTHER, take=False)
    assert directory.propose(ADDRESS, OTHER, Trust.AUTHENTICATED, Provenance.WKD).standing is Standing.DECLINED
    assert directory.decide(ADDRESS, OTHER, take=True).trust is Trust.MANUAL
    assert directory.bound(ADDRESS) == (ALICE, OTHER)
    directory.drop(ALICE)
    assert directory.bound(ADDRESS) == (OTHER,)
    with pytest.raises(MissingKey):
        directory.decide(ADDRESS, ALICE, take=True)


def test_trust_only_grows_and_provenance_follows_it() -> None:
    directory = Directory()
    directory.propose(ADDRESS, ALICE, Trust.AUTHENTICATED, Provenance.AUTOCRYPT)
    lower = directory.propose(ADDRESS, ALICE, Trust.CANDIDATE, Provenance.KEY_SERVER)
    assert (lower.trust, lower.provenance) == (Trust.AUTHENTICATED, Provenance.AUTOCRYPT)
    higher = directory.propose(ADDRESS, ALICE, Trust.MANUAL, Provenance.ADMIN)
    assert (higher.trust, higher.provenance, higher.standing) == (Trust.MANUAL, Provenance.ADMIN, Standing.BOUND)


def test_what_was_decided_before_is_restored_as_it_was() -> None:
    directory = Directory()
    directory.propose(ADDRESS, ALICE, Trust.MANUAL, Provenance.ADMIN)
    directory.propose(ADDRESS, OTHER, Trust.MANUAL, Provenance.ADMIN, decided=True)
    assert directory.bound(ADDRESS) == (ALICE, OTHER)
    again = Directory()
    again.restore(directory.entries())
    assert again.entries() == directory.entries()
    assert ALICE in again


@pytest.mark.parametrize("address", ["", "a", "@", "a@", "@b", "a b@c.example", "a@b\n", "x" * 400 + "@b.example"])
def test_what_cannot_be_an_address_is_refused(address: str) -> None:
    with pytest.raises(BadData):
        normal(address)


class Changes(RuleBasedStateMachine):
    """Whatever comes in whatever order: a bound certificate leaves only by `drop` or by a person."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Directory()
        self.believed: dict[str, set[str]] = {}

    names = st.sampled_from([Fingerprint(letter * 40) for letter in "ABC"])
    addresses = st.sampled_from([ADDRESS, "bob@example.net"])

    @rule(address=addresses, name=names, trust=st.sampled_from(Trust), provenance=st.sampled_from(Provenance))
    def propose(self, address: str, name: Fingerprint, trust: Trust, provenance: Provenance) -> None:
        entry = self.directory.propose(address, name, trust, provenance)
        if entry.standing is Standing.BOUND:
            believed = self.believed.setdefault(address, set())
            assert not believed - {name} or name in believed
            believed.add(name)

    @rule(address=addresses, name=names, take=st.booleans())
    def decide(self, address: str, name: Fingerprint, take: bool) -> None:
        try:
            self.directory.decide(address, name, take=take)
        except MissingKey:
            return
        believed = self.believed.setdefault(address, set())
        (believed.add if take else believed.discard)(name)

    @rule(name=names)
    def drop(self, name: Fingerprint) -> None:
        self.directory.drop(name)
        for believed in self.believed.values():
            believed.discard(name)

    @invariant()
    def both_ways_agree(self) -> None:
        for address in (ADDRESS, "bob@example.net"):
            bound = set(self.directory.bound(address))
            assert bound == self.believed.get(address, set())
            assert all(address in self.directory.signers(Fingerprint(name)) for name in bound)


TestChanges = Changes.TestCase
TestChanges.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
