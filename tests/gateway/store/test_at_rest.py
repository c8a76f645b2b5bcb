"""Nothing of a customer stands readable in any byte at rest; what is finished can't be opened with every key alive."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, select
from store_rows import ALICE, BOB, DESK_ATREST, EDGE, SPOOL_KEY, TRUST, House, new_row, passage, passed

from gateway.ids import Ulids
from gateway.rules import Action, Decision
from gateway.sanitized import SafeAttachment, SafeText
from gateway.store import schema
from gateway.store.contacts import Provenance, Trust
from gateway.store.database import Database, Role
from gateway.store.people import People
from gateway.store.reading import View
from gateway.store.spool import put
from keys.box import Binding, Purpose
from keys.errors import CannotDecrypt, KeysError
from keys.secret import Secret
from keys.unbox import open_box

NAMES = ("text", "subject", "name", "message-id", "reference", "file", "reply", "draft", "answer", "cert", "raw")
CANARIES = [f"canary-{name}-{hashlib.sha256(name.encode()).hexdigest()[:12]}" for name in NAMES]
TEXT, SUBJECT, NAME, ID, REFERENCE, FILE, REPLY, DRAFT, ANSWER, CERT, RAW = CANARIES


async def live(house: House) -> None:
    """Everything that a store can take in, with a canary in it."""
    await put(house.edge, new_row(house.clock, payload=RAW.encode()))
    (claim,) = await house.spool.claim(1, 60)
    await house.spool.hold(claim, Decision(Action.HOLD), None, expires_at=10**15 * 4)
    await put(house.edge, new_row(house.clock, payload=RAW.encode()))
    filed = await house.receive(
        TEXT, subject=SUBJECT, author_name=NAME, message_id=f"<{ID}@example.org>", references=(f"<{REFERENCE}@x>",),
        attachments=(SafeAttachment(name=SafeText(FILE), media_type="text/plain", octets=3, text=SafeText(FILE)),),
    )  # fmt: skip
    await house.answer(filed, REPLY)
    await house.contacts.bind("email", ALICE, "A" * 40, CERT.encode(), Trust.TRUSTED, Provenance.ADMIN)
    people = People(house.desk, atrest=DESK_ATREST, clock=house.clock, ids=Ulids(house.clock))
    await people.save_draft("ann", filed.conversation, Secret(DRAFT))
    await people.begin("ann", "key", b"r" * 32)
    await people.finish("ann", "key", 200, Secret(ANSWER.encode()))


def bytes_of(url: str, folder: Path, dump: list[bytes]) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    if dump:
        found["rows"] = b"\n".join(dump)
    return found


def rows_of(url: str) -> list[bytes]:
    """Every value of every row of a PostgreSQL store."""
    found = []
    with psycopg.connect(url.replace("+psycopg", "")) as conn:
        for table in schema.metadata.tables:
            for row in conn.execute(f'SELECT * FROM "{table}"'):
                found += [value if isinstance(value, bytes) else str(value).encode() for value in row]
    return found


def assert_clean(files: dict[str, bytes]) -> None:
    words = [*(canary.encode() for canary in CANARIES), b"alice@example", b"example.org"]
    for name, content in files.items():
        for word in words:
            for form in (word, word.hex().encode(), word.decode().encode("utf-16-le")):
                assert form not in content, (name, word)


async def test_no_canary_in_any_byte_at_rest(house: House, store_url: str, tmp_path: Path) -> None:
    await live(house)
    dump = rows_of(store_url) if "postgresql" in store_url else []
    files = bytes_of(store_url, tmp_path, dump)
    assert any(len(content) > 10_000 for content in files.values())
    assert "vestibule.db-wal" in files or dump
    assert_clean(files)
    found = await house.reading.page(View())
    assert found[0][0].inbound is not None
    assert found[0][0].inbound.content is not None
    assert found[0][0].inbound.content.text == TEXT, "the control: it is all there, for whoever has the key"


async def test_no_canary_in_the_bytes_of_postgres_and_its_log(postgres_url: str, clock, tmp_path: Path) -> None:
    """Data files, write-ahead log and server log."""
    databases = [Database.open(postgres_url, role, clock=clock) for role in (Role.EDGE, Role.INSPECTOR, Role.DESK)]
    await live(House(*databases, clock))
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as conn:
        conn.execute("CHECKPOINT")
        (folder,) = conn.execute("SHOW data_directory").fetchone() or ("",)
        (oid,) = conn.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone() or (0,)
    base = Path(folder)
    places = [base / "base" / str(oid), base / "pg_wal", *base.glob("*.log"), *base.glob("log")]
    files = {
        str(path): path.read_bytes()
        for place in places
        for path in ([place] if place.is_file() else place.rglob("*"))
        if path.is_file()
    }
    assert sum(map(len, files.values())) > 1_000_000
    words = [canary.encode() for canary in CANARIES] + [b"alice@example"]
    for name, content in files.items():
        for word in words:
            assert word not in content, name
    for db in databases:
        await db.close()


async def test_the_sealed_original_is_gone_from_the_file(house: House, store_url: str, tmp_path: Path) -> None:
    """Not only its row: its bytes."""
    if "postgresql" in store_url:
        pytest.skip("PostgreSQL keeps dead rows until vacuum; their boxes are sealed to a key that is destroyed")
    row = new_row(house.clock)
    await put(house.edge, row)
    mark = row.box[200:240]
    (claim,) = await house.spool.claim(1, 60)
    await house.queue.put(claim, await passed(), passage())
    for db in (house.edge, house.inspector, house.desk):
        await db.close()
    for name, content in bytes_of(store_url, tmp_path, []).items():
        assert mark not in content, name


async def test_an_old_copy_and_every_key_alive_open_no_finished_message(
    house: House, sqlite_url: str, tmp_path: Path
) -> None:
    """The key that the spool row was sealed to is destroyed once no row bears it; what is left opens nothing."""
    if house.edge.dialect != "sqlite":
        pytest.skip("the copy is of a file")
    row = new_row(house.clock, payload=RAW.encode())
    await put(house.edge, row)
    copy = tmp_path / "stolen.db"
    for suffix in ("", "-wal", "-shm"):
        shutil.copy(f"{house.edge.file}{suffix}", f"{copy}{suffix}")
    (claim,) = await house.spool.claim(1, 60)
    alive = {SPOOL_KEY.public().id: SPOOL_KEY}
    binding = Binding(purpose=Purpose.SPOOL, row=claim.id, channel="email")
    senders = {EDGE.public.id: EDGE.public}
    opened = open_box(claim.box, binding=binding, keys=alive, senders=senders)
    assert opened.payload.reveal() == RAW.encode(), "the control: while it waits, its key opens it"
    await house.queue.put(claim, await passed(), passage())
    for id in list(alive):
        if id not in await house.spool.key_ids_in_use():
            del alive[id]  # what the inspector's housekeeping does
    engine = create_engine(f"sqlite:///{copy}")
    with engine.connect() as conn:
        (stolen,) = conn.execute(select(schema.spool.c.box)).scalars().all()
    engine.dispose()
    with pytest.raises(KeysError):
        open_box(stolen, binding=binding, keys=alive, senders=senders)


async def test_erasing_a_contact_leaves_nothing_that_can_be_read(house: House, store_url: str, tmp_path: Path) -> None:
    filed = await house.receive(TEXT)
    other = await house.receive("kept", author=BOB)
    await house.answer(filed)
    await house.contacts.bind("email", ALICE, "A" * 40, CERT.encode(), Trust.TRUSTED, Provenance.ADMIN)
    engine = create_engine(store_url)
    with engine.connect() as conn:
        wrapped = conn.execute(
            select(schema.contacts.c.key_desk).where(schema.contacts.c.id == filed.contact)
        ).scalar_one()
        sealed = conn.execute(
            select(schema.messages.c.sealed).where(schema.messages.c.id == filed.message)
        ).scalar_one()
    assert await house.contacts.erase(filed.contact, "ada")
    assert not await house.contacts.erase(filed.contact, "ada")
    assert await house.reading.conversation(filed.conversation) is None
    assert await house.queue.correspondence(filed.conversation) is None
    assert await house.contacts.certificates("email", ALICE) == ()
    assert await house.reading.conversation(other.conversation) is not None
    with engine.connect() as conn:
        left = conn.execute(select(schema.contacts).where(schema.contacts.c.id == filed.contact)).one()
        assert (left.key_desk, left.key_inspector) == (None, None)
        assert conn.execute(select(schema.messages.c.id)).scalars().all() == [other.message]
    engine.dispose()
    assert wrapped
    assert sealed
    again = await house.receive("new")
    assert again.first_contact
    assert again.contact != filed.contact


async def test_a_sealed_value_opens_in_no_other_place(house: House, store_url: str) -> None:
    """Values are bound to their rows: swapping two customers' addresses shows in an error, not in a misdelivery."""
    first, second = await house.receive(), await house.receive(author=BOB)
    engine = create_engine(store_url)
    table = schema.addresses
    with engine.begin() as conn:
        rows = conn.execute(select(table.c.id, table.c.sealed)).all()
        conn.execute(table.update().where(table.c.id == rows[0].id).values(sealed=rows[1].sealed))
    engine.dispose()
    outcomes = []
    for filed in (first, second):
        try:
            known = await house.queue.correspondence(filed.conversation)
            outcomes.append(known.to if known else None)
        except KeysError:
            outcomes.append("refused")
    assert outcomes.count("refused") == 1


async def test_a_reply_cannot_be_turned_to_somebody_else_or_into_clear(house: House, store_url: str) -> None:
    """By somebody who has the database and no key."""
    hers = await house.receive(TEXT, trust=replace(TRUST, encrypted="full"), where={"encrypted": True})
    his = await house.receive(author=BOB)
    talks, engine = schema.conversations, create_engine(store_url)
    with engine.begin() as conn:
        bobs = conn.execute(select(talks).where(talks.c.id == his.conversation)).mappings().one()
        conn.execute(talks.update().where(talks.c.id == hers.conversation).values(encrypted=False))
    known = await house.queue.correspondence(hers.conversation)
    assert known is not None
    assert known.encrypted, "the sealed row tells"
    attacks = (
        {"address_id": bobs["address_id"]},
        {"address_id": bobs["address_id"], "contact_id": bobs["contact_id"]},
        {name: bobs[name] for name in ("address_id", "contact_id", "last_inbound")},
    )
    for changes in attacks:
        with engine.begin() as conn:
            conn.execute(talks.update().where(talks.c.id == hers.conversation).values(**changes))
        with pytest.raises(CannotDecrypt):
            await house.queue.correspondence(hers.conversation)
    engine.dispose()
