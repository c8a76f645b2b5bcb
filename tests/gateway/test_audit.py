"""The audit: facts only, appended with what they tell of, and no change goes unseen."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, delete, insert, select, update

from gateway import audit
from gateway.audit import FACTS, Event, Fact, Flaw, Head, Kind, append, canonical, heads, leaf_hash, record, verify
from gateway.ids import SystemClock
from gateway.store import schema
from gateway.store.database import Database, Role

TOKENS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/+-]{0,79}", fullmatch=True)
BY_KIND = {
    Kind.ID: TOKENS,
    Kind.TOKEN: TOKENS,
    Kind.NUMBER: st.integers(-(2**53) + 1, 2**53 - 1),
    Kind.TIME: st.integers(0, 2**53 - 1),
    Kind.FLAG: st.booleans(),
    Kind.CODES: st.lists(TOKENS, max_size=5).map(tuple),
}
SOME_FACTS = st.fixed_dictionaries({}, optional={name: BY_KIND[kind] for name, kind in FACTS.items()})
PLAIN_RECORDS = st.builds(
    lambda event, object, count, codes: record(event, object=object, count=count, codes=codes),
    st.sampled_from(list(Event)),
    st.sampled_from(["a", "b", "m-1"]),
    st.integers(0, 9),
    st.sampled_from([(), ("tls.absent",), ("tls.absent", "sender.forged")]),
)
RECORDS = st.builds(lambda event, facts: record(event, **facts), st.sampled_from(list(Event)), SOME_FACTS)


@pytest.fixture
async def db(store_url: str) -> AsyncIterator[Database]:
    db = Database.open(store_url, Role.INSPECTOR, clock=SystemClock())
    yield db
    await db.close()


@pytest.mark.parametrize(
    "facts",
    [
        {"reason": "Dear alice, your card 4111 1111 1111 1111"},
        {"reason": "alice@example.org"},
        {"reason": ""},
        {"reason": "x" * 81},
        {"reason": "ñ"},
        {"reason": "a\nb"},
        {"reason": 5},
        {"count": "5"},
        {"count": True},
        {"count": 2**53},
        {"count": 1.5},
        {"first": 1},
        {"codes": "tls.absent"},
        {"codes": ("a b",)},
        {"text": "hello"},
        {"object": None},
    ],
)
def test_free_text_has_no_way_in(facts: dict[str, Fact]) -> None:
    with pytest.raises(TypeError) as caught:
        record(Event.MESSAGE_HELD, **facts)
    assert not any(isinstance(value, str) and value and value in str(caught.value) for value in facts.values())


@settings(max_examples=50, deadline=None)
@given(RECORDS, st.integers(0, 2**50), st.integers(1, 2**50))
def test_a_leaf_is_canonical_and_reads_back(one: audit.Record, at: int, seq: int) -> None:
    leaf = canonical("edge.0", seq, at, one.event, one.facts, bytes(32))
    read = json.loads(leaf)
    assert (
        canonical("edge.0", read["seq"], read["at"], read["event"], read["facts"], bytes.fromhex(read["prev"])) == leaf
    )
    assert leaf == leaf.encode("ascii").decode()
    assert list(read) == sorted(read)
    assert " " not in leaf


def chain(conn: Connection, count: int, name: str = "edge.0") -> Head:
    """Leaves in batches of one to three."""
    last = Head(name, 0, "")
    rng = random.Random(count)
    while last.seq < count:
        batch = min(rng.randint(1, 3), count - last.seq)
        facts = [
            record(Event.MESSAGE_ACCEPTED, object=f"m{last.seq + number}", octets=number) for number in range(batch)
        ]
        last = append(conn, name, 1_000_000 + last.seq, facts)
    return last


async def test_records_go_with_their_transaction(db: Database) -> None:
    class Undone(Exception):
        pass

    def fails(conn: Connection) -> None:
        audit.note(conn, record(Event.MESSAGE_HELD, object="lost"))
        raise Undone

    import asyncio

    results = await asyncio.gather(
        db.write(lambda conn: audit.note(conn, record(Event.MESSAGE_HELD, object="a"))),
        db.write(fails),
        db.write(lambda conn: audit.note(conn, record(Event.MESSAGE_HELD, object="b"))),
        return_exceptions=True,
    )
    assert [type(one) for one in results] == [type(None), Undone, type(None)]
    leaves = await db.read(lambda conn: audit.read(conn))
    assert [leaf["facts"]["object"] for leaf in leaves if leaf["event"] == "message.held"] == ["b", "a"]
    report = await db.read(lambda conn: verify(conn))
    assert report.sound
    assert [head.chain for head in report.heads] == ["inspector.0", "upgrade"]


def test_each_attack_is_named(store_url: str) -> None:
    engine = create_engine(store_url)
    table, ends = schema.audit, schema.audit_heads
    with engine.begin() as conn:
        known = chain(conn, 20)
        chain(conn, 5, "desk.0")
        assert verify(conn, [known]).sound
        assert verify(conn, [known]).leaves == 26
    mine = table.c.chain == "edge.0"
    attacks = {
        "a fact changed": (
            [update(table).where(mine, table.c.seq == 7).values(leaf=table.c.leaf + " ")],
            {(7, Flaw.CHANGED)},
        ),
        "an event renamed beside its leaf": (
            [update(table).where(mine, table.c.seq == 7).values(event="sign-out")],
            {(7, Flaw.CHANGED)},
        ),
        "a time changed beside its leaf": (
            [update(table).where(mine, table.c.seq == 7).values(at=5)],
            {(7, Flaw.CHANGED)},
        ),
        "a leaf taken out": ([delete(table).where(mine, table.c.seq == 7)], {(7, Flaw.MISSING)}),
        "the first taken out": ([delete(table).where(mine, table.c.seq == 1)], {(1, Flaw.MISSING)}),
        "the end cut off": ([delete(table).where(mine, table.c.seq > 15)], {(20, Flaw.CUT_OFF)}),
        "the whole chain gone": ([delete(table).where(mine)], {(20, Flaw.CUT_OFF)}),
        "the head gone": ([delete(ends).where(ends.c.chain == "edge.0")], {(20, Flaw.NO_HEAD)}),
    }
    for name, (statements, flaws) in attacks.items():
        with engine.connect() as conn:
            for statement in statements:
                conn.execute(statement)
            found = {(one.seq, one.flaw) for one in verify(conn).findings if one.chain == "edge.0"}
            assert flaws <= found, name
            conn.rollback()
    engine.dispose()


def test_a_cut_with_a_forged_head_is_seen_by_a_head_kept_elsewhere(store_url: str) -> None:
    engine = create_engine(store_url)
    with engine.connect() as conn:
        known = chain(conn, 10)
        conn.execute(delete(schema.audit).where(schema.audit.c.chain == "edge.0"))
        conn.execute(delete(schema.audit_heads).where(schema.audit_heads.c.chain == "edge.0"))
        assert verify(conn).sound, "a chain alone can't tell"
        assert [one.flaw for one in verify(conn, [known]).findings] == [Flaw.CUT_OFF]
        chain(conn, 12)  # the same length and more, made anew
        conn.execute(update(schema.audit).where(schema.audit.c.seq == 99).values(at=1))
        assert verify(conn, [Head("edge.0", 10, "00" * 32)]).findings
        conn.rollback()
    engine.dispose()


@pytest.fixture(scope="module")
def memory() -> Connection:
    """A store in memory, for many small chains."""
    engine = create_engine("sqlite://")
    schema.metadata.create_all(engine)
    return engine.connect()


MUTATIONS = st.sampled_from(
    ["flip", "delete", "swap", "duplicate", "truncate", "rehash", "renumber", "insert", "replay"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(PLAIN_RECORDS, min_size=1, max_size=8), kind=MUTATIONS, seed=st.integers(0, 2**32))
@example(records=[record(Event.SIGNED_OUT)], kind="truncate", seed=0)
def test_any_change_is_found_and_an_untouched_chain_is_sound(
    memory: Connection, records: list[audit.Record], kind: str, seed: int
) -> None:
    conn, rng, table = memory, random.Random(seed), schema.audit
    conn.rollback()
    for number, one in enumerate(records):
        append(conn, "edge.0", number, [one])
    known = heads(conn)
    assert verify(conn, known).sound
    before = [tuple(row) for row in conn.execute(select(table).order_by(table.c.seq))]
    mutate(conn, kind, rng, len(records))
    after = [tuple(row) for row in conn.execute(select(table).order_by(table.c.seq))]
    report = verify(conn, known)
    assert report.sound == (before == after), kind
    conn.rollback()


def mutate(conn: Connection, kind: str, rng: random.Random, count: int) -> None:
    """As somebody with the database would, hashes and head made to fit where the kind says so."""
    table, head = schema.audit, schema.audit_heads
    seq = rng.randint(1, count)
    row = conn.execute(select(table).where(table.c.seq == seq)).mappings().one()
    match kind:
        case "flip":
            column = rng.choice(["leaf", "hash", "event", "at"])
            value = row[column]
            if isinstance(value, str):
                place = rng.randrange(len(value))
                value = value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :]
            elif isinstance(value, bytes):
                value = bytes([value[0] ^ 1]) + value[1:]
            else:
                value += 1
            conn.execute(update(table).where(table.c.seq == seq).values({column: value}))
        case "delete":
            conn.execute(delete(table).where(table.c.seq == seq))
        case "swap":
            other = rng.randint(1, count)
            there = conn.execute(select(table).where(table.c.seq == other)).mappings().one()
            for place, content in ((seq, there), (other, row)):
                changes = {name: content[name] for name in ("at", "event", "leaf", "hash")}
                conn.execute(update(table).where(table.c.seq == place).values(changes))
        case "duplicate":
            conn.execute(insert(table).values({**row, "seq": count + 1}))
        case "truncate":
            conn.execute(delete(table).where(table.c.seq >= seq))
        case "rehash":
            leaf = canonical("edge.0", seq, row["at"] + 1, row["event"], json.loads(row["leaf"])["facts"],
                             bytes.fromhex(json.loads(row["leaf"])["prev"]))  # fmt: skip
            changes = {"leaf": leaf, "at": row["at"] + 1, "hash": leaf_hash(leaf)}
            conn.execute(update(table).where(table.c.seq == seq).values(changes))
            if seq == count:
                conn.execute(update(head).values(hash=leaf_hash(leaf)))
        case "renumber":
            conn.execute(update(table).where(table.c.seq == seq).values(seq=count + 5))
        case "insert":
            leaf = canonical("edge.0", count + 1, 0, "sign-out", {}, rng.randbytes(32))
            values = {"chain": "edge.0", "seq": count + 1, "at": 0, "event": "sign-out", "leaf": leaf}
            conn.execute(insert(table).values(**values, hash=leaf_hash(leaf)))
            conn.execute(update(head).values(seq=count + 1, hash=leaf_hash(leaf)))
        case "replay":
            conn.execute(delete(table).where(table.c.seq > seq))
            conn.execute(update(head).values(seq=seq, hash=row["hash"]))


async def test_writers_of_one_role_have_chains_of_their_own_on_postgres(postgres_url: str) -> None:
    first = Database.open(postgres_url, Role.EDGE, clock=SystemClock())
    second = Database.open(postgres_url, Role.EDGE, clock=SystemClock())
    assert [first.chain, second.chain] == ["edge.0", "edge.1"]
    await first.close()
    third = Database.open(postgres_url, Role.EDGE, clock=SystemClock())
    assert third.chain == "edge.0"
    for db in (second, third):
        await db.write(lambda conn: audit.note(conn, record(Event.ROLE_STARTED, role="edge")))
        await db.close()


def test_every_event_and_fact_is_a_literal_of_ours() -> None:
    assert all(event.value.replace("-", "").replace(".", "").isalpha() for event in Event)
    assert all(name.isidentifier() for name in FACTS)
