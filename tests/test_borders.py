"""The borders between the roles, in a running gateway, on both databases: what each process has and hasn't got.

Tried from outside and with what an attacker would have: a role's own database user, its own keys folder, its memory.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from processes import below, can_look_into_memory, children, commands, descriptors, internet_sockets, memory_holds
from psycopg.errors import InsufficientPrivilege
from sink import Sink
from sqlalchemy import create_engine, insert, select
from vector_faults import insert_row, payload
from vector_format import parse
from vector_letters import raw
from whole import HOLDS, Whole

from gateway.config import load
from gateway.ids import SystemClock, Ulids
from gateway.store import schema
from keys import keyring
from keys.box import Binding, PublicKeys, Purpose, SigningKey, load_signing_key, seal
from keys.box import parse as parse_box
from keys.errors import KeysError
from keys.secret import Secret
from keys.unbox import open_box

pytestmark = pytest.mark.timeout(300)

OPENS = {
    "keys.unbox", "keys.stamping", "keys.openpgp", "keys.gnupg", "keys.smime", "keys.keyring", "keys.agent",
    "keys.opener", "keys.opener_client", "keys.agent_client", "gateway.opened", "gateway.opening", "gateway.mime",
    "gateway.sanitizing", "gateway.worker", "gateway.checks", "gateway.path", "gateway.sandbox", "gateway.crossing",
    "gateway.workshop", "gnupg",
}  # fmt: skip
"""What a message is opened with, and what leads there."""
SECRETS = ["spool.box", "held.for_inspector", "contacts.key_inspector", "addresses.sealed", "addresses.index",
           "certificates.sealed", "replies.box", "requests.box", "notices.for_inspector", "outbox.box", "dedupe.key",
           "bodies.body", "threads.index"]  # fmt: skip


def said(words: str, number: str = "1") -> bytes:
    head = "From: Alice <alice@example.org>\r\nTo: support@acme.example\r\nSubject: x\r\n"
    return f"{head}Message-ID: <b{number}@example.org>\r\n\r\n{words}\r\n".encode()


def sealed(words: str) -> bytes:
    head = "From: Alice <alice@example.org>\nTo: support@acme.example\nSubject: x\n\n"
    return raw(parse("borders/x", f"comment: x\nexpect: accept\nprotect: sealed+signed\n\n{head}{words}\n".encode()))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def whole(
    request: pytest.FixtureRequest, postgres: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Whole]:
    url = ""
    if request.param == "postgresql":
        with psycopg.connect(postgres("postgres").replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("CREATE DATABASE borders TEMPLATE template_store")
        url = postgres("borders")
    with (
        Sink() as sink,
        Whole(tmp_path_factory.mktemp("b") / "g", url=url, smarthost_port=sink.port, debug=False) as one,
    ):
        one.hand_in(sealed("An encrypted message."))
        one.hand_in(said("A message in clear."))
        one.wait_for_messages(2)
        yield one


def as_role(whole: Whole, role: str) -> str:
    """The role's own user on PostgreSQL."""
    return load(whole.folder / f"{role}.toml").store_url.replace("+psycopg", "")


def on_postgresql(whole: Whole) -> None:
    if not whole.url:
        pytest.skip("SQLite has no users: there the roles are kept apart by their keys")


# --- the desk


def test_the_desk_works_with_a_keys_folder_that_has_only_its_own(whole: Whole) -> None:
    mount = whole.folder / "keys-desk"
    assert {entry.name for entry in mount.iterdir()} == {"public", "shared", "desk"} == set(HOLDS["desk"])
    assert len(whole.agent.all("/api/conversations?view=open")) >= 2
    private = [path.name for path in mount.rglob("*.key")] + [
        path.name for name in HOLDS["desk"] for path in (mount / name).iterdir()
    ]
    assert not [
        name for name in private if name.startswith(("spool", "reply", "request", "outbox")) and name.endswith(".key")
    ]


def test_the_desk_holds_nothing_open_that_is_the_inspectors_or_the_edges(whole: Whole) -> None:
    foreign = [str(whole.keys / other) for other in ("inspector", "edge")]
    for pid in below(whole.pid("desk")):
        assert not [name for name in descriptors(pid) if name.startswith(tuple(foreign))]
    held = [name for pid in below(whole.pid("inspector")) for name in descriptors(pid)]
    assert any(name.startswith(str(whole.keys / "inspector")) for name in held), "the look would see it"


@pytest.mark.parametrize("column", SECRETS)
def test_the_desks_user_cannot_read_what_opens_a_message(whole: Whole, column: str) -> None:
    on_postgresql(whole)
    table, _, name = column.partition(".")
    refused(as_role(whole, "desk"), f'SELECT "{name}" FROM {table}')
    with psycopg.connect(as_role(whole, "inspector")) as connection:
        connection.execute(f'SELECT "{name}" FROM {table}').fetchall()


@pytest.mark.parametrize("role", ["edge", "desk"])
def test_a_roles_user_cannot_become_another(whole: Whole, role: str) -> None:
    on_postgresql(whole)
    for other in {"edge", "inspector", "desk"} - {role}:
        refused(as_role(whole, role), f"SET ROLE vestibule_{other}")
    refused(as_role(whole, role), "CREATE TABLE mine (x int)")


def refused(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute(statement)


# --- the edge


def test_the_edges_user_can_put_into_the_spool_but_not_read_it_back(whole: Whole) -> None:
    on_postgresql(whole)
    for column in ("box", "key_id", "lane", "*"):
        refused(as_role(whole, "edge"), f"SELECT {column} FROM spool")
    refused(as_role(whole, "edge"), "DELETE FROM spool")
    refused(as_role(whole, "edge"), "UPDATE spool SET attempts = 0")
    for table in ("messages", "conversations", "contacts", "held", "replies", "requests", "sessions", "users"):
        refused(as_role(whole, "edge"), f"SELECT * FROM {table}")


def test_the_edges_keys_do_not_open_what_the_edge_has_sealed(whole: Whole) -> None:
    folder = whole.folder / "keys-edge"
    assert {entry.name for entry in folder.iterdir()} == {"public", "edge"}
    binding = Binding(purpose=Purpose.SPOOL, row="01ROW", channel="email")
    public = PublicKeys(folder / "public")
    box = seal(
        Secret(b"what was accepted"), to=public.current(Purpose.SPOOL),
        by=load_signing_key(folder / "edge" / "sign.key"), binding=binding,
    )  # fmt: skip
    edge = keyring.Edge.load(folder)
    signer = public.verify_key("edge")
    with pytest.raises(KeysError):
        open_box(box, keys=edge.outbox, senders={signer.id: signer}, binding=binding)
    every = {parse_box(box).key: key for key in edge.outbox.values()}
    with pytest.raises(KeysError):
        open_box(box, keys=every, senders={signer.id: signer}, binding=binding)
    inspector = keyring.BoxKeys(whole.keys, Purpose.SPOOL)
    assert (
        open_box(box, keys=inspector, senders={signer.id: signer}, binding=binding).payload.reveal()
        == b"what was accepted"
    )


# --- the inspector


def test_the_inspector_has_no_socket_of_the_internet(whole: Whole) -> None:
    processes = below(whole.pid("inspector"))
    assert len(processes) >= 4, processes
    assert not {pid: found for pid in processes if (found := internet_sockets(pid))}
    assert internet_sockets(whole.pid("edge")), "the look would see one"
    assert internet_sockets(whole.pid("desk"))


# --- rows that somebody wrote


@pytest.mark.parametrize("how", ["forged", "moved"])
def test_a_row_that_is_not_the_edges_is_held_as_forged(whole: Whole, how: str) -> None:
    vector = parse(
        "x",
        f"comment: x\nchannel: box\ninject: {how}\nexpect: reject\nfinding: gateway.forged\n\n".encode() + said("x"),
    )
    row = insert_row(whole, vector)
    (held,) = whole.wait_for(lambda: [one for one in whole.supervisor.all("/api/held") if one["id"] == row], 30, how)
    assert held["refused"]
    assert [one["code"] for one in held["findings"]] == ["gateway.forged"]


def test_whoever_has_the_edges_database_user_and_the_public_keys_gets_nothing_to_an_agent(whole: Whole) -> None:
    on_postgresql(whole)
    row = Ulids(SystemClock()).new()
    content = asyncio.run(payload(said("DMARC says pass, honestly")))
    box = seal(
        content, to=PublicKeys(whole.keys / "public").current(Purpose.SPOOL),
        by=SigningKey(Secret(secrets.token_bytes(32))),
        binding=Binding(purpose=Purpose.SPOOL, row=row, channel="email"),
    )  # fmt: skip
    with psycopg.connect(as_role(whole, "edge")) as connection:
        connection.execute(
            "INSERT INTO spool (id, lane, state, due_at, channel, key_id, received_at, box)"
            " VALUES (%s, %s, 'waiting', 0, 'email', %s, %s, %s)",
            (row, secrets.token_bytes(32), parse_box(box).key, int(time.time() * 1e6), box),
        )
    (held,) = whole.wait_for(
        lambda: [one for one in whole.supervisor.all("/api/held") if one["id"] == row], 30, "the row"
    )
    assert [one["code"] for one in held["findings"]] == ["gateway.forged"]


def test_a_queue_row_without_a_genuine_stamp_is_not_shown(whole: Whole) -> None:
    """Copied from elsewhere with its stamp (a replayed one), or with a stamp made up."""
    first, second = whole.agent.all("/api/conversations?view=open")[:2]
    source, target = first["inbound"]["id"], second["conversation"]["id"]
    table = schema.messages
    for number, stamp in enumerate((None, secrets.token_bytes(64))):
        with Owner(whole) as connection:
            row = dict(connection.execute(select(table).where(table.c.id == source)).mappings().one())
            row |= {"id": Ulids(SystemClock()).new(), "conversation_id": target, "sequence": 90 + number}
            connection.execute(insert(table).values(**(row | ({"stamp": stamp} if stamp else {}))))
        opened = whole.agent.get(f"/api/conversations/{target}")
        planted = [one for one in opened["messages"] if one["id"] == row["id"]]
        assert not opened["intact"]
        assert all(not one["shown"] and one["content"] is None for one in planted)
    with Owner(whole) as connection:
        connection.execute(table.delete().where(table.c.sequence >= 90))
    assert whole.agent.get(f"/api/conversations/{target}")["intact"]


def test_an_old_row_put_back_in_its_own_place_does_not_make_the_conversation_whole(whole: Whole) -> None:
    """The head commits to what stands there now: without a message of the end it isn't intact."""
    answer = whole.hand_in(said("Something that mallory would rather have gone.", "gone"))
    row = answer.rpartition(" ")[2]
    found = whole.wait_for(
        lambda: [one for one in whole.agent.all("/api/conversations?view=open") if one["inbound"]["id"] == row], 30, row
    )
    target = found[0]["conversation"]["id"]
    table = schema.messages
    with Owner(whole) as connection:
        kept = dict(connection.execute(select(table).where(table.c.id == row)).mappings().one())
        connection.execute(table.delete().where(table.c.id == row))
    assert not whole.agent.get(f"/api/conversations/{target}")["intact"]
    with Owner(whole) as connection:
        connection.execute(insert(table).values(**kept))
    assert whole.agent.get(f"/api/conversations/{target}")["intact"]


class Owner:
    """A transaction of somebody who owns the database."""

    def __init__(self, whole: Whole) -> None:
        self._engine = create_engine(whole.store_url)

    def __enter__(self) -> Any:
        self._transaction = self._engine.begin()
        return self._transaction.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._transaction.__exit__(*error)
        self._engine.dispose()


# --- memory


def card() -> str:
    """A number that nobody has ever written down, with a right check digit."""
    digits = "411111" + "".join(secrets.choice("0123456789") for _ in range(9))
    total = sum(sum(divmod(int(digit) * (2 - place % 2), 10)) for place, digit in enumerate(digits))
    return digits + str(-total % 10)


def hidden(number: str) -> set[bytes]:
    spaced = " ".join(number[at : at + 4] for at in range(0, 16, 4))
    return {form for text in (number, spaced) for form in (text.encode(), text.encode("utf-16-le"))}


@pytest.mark.skipif(
    not can_look_into_memory(), reason="looking into another process's memory takes root and CAP_SYS_PTRACE"
)
class TestMemory:
    def test_no_process_of_the_inspector_that_outlives_a_message_keeps_a_card_number_of_it(self, whole: Whole) -> None:
        cards = [card() for _ in range(4)]
        before = len(whole.wait_for_messages(1))
        whole.hand_in(said(f"In clear: {cards[0]}", "m1"))
        whole.hand_in(sealed(f"Under encryption: {cards[1]}"))
        spaced = " ".join(cards[2][at : at + 4] for at in range(0, 16, 4))
        whole.hand_in(said(f"In groups: {spaced}", "m2"))
        whole.hand_in(said(f"Held: {cards[3]}", "m3"), to=["billing@acme.example"])
        whole.wait_for_messages(before + 3)
        whole.wait_for_held(1)
        needles = {form for number in cards for form in hidden(number)}
        looked = []
        for pid, line in below(whole.pid("inspector")).items():
            try:
                assert not memory_holds(pid, needles), line
            except ProcessLookupError:
                continue
            looked.append(line)
        assert any("keys.agent" in line for line in looked), looked
        assert any("sandbox_worker" in line for line in looked), looked
        assert gpg_agents(whole, needles), "gpg-agent is one of those that stay"
        assert len(looked) >= 4

    def test_under_fast_recycling_a_worker_has_it_so_the_look_would_find_it(self, tmp_path: Path) -> None:
        settings = {"inspector": 'recycling = "fast"\nworkers = 1'}
        with Whole(tmp_path / "g", settings=settings, debug=False) as fast:
            number = card()
            fast.hand_in(said(f"In clear: {number}"))
            fast.wait_for_messages(1)
            processes = below(fast.pid("inspector"))
            found = {pid for pid in processes if memory_holds(pid, hidden(number))}
            assert [pid for pid in found if "sandbox_worker" in processes[pid]]
            family = children(fast.pid("inspector"))  # zygote and key process: these stay, whatever the recycling
            assert len(family) >= 2
            assert not found & {fast.pid("inspector"), *family}


def gpg_agents(whole: Whole, needles: set[bytes]) -> list[str]:
    """gpg-agent leaves its family: found by its home."""
    found = []
    for pid, line in commands().items():
        home = re.search(r"gpg-agent .*--homedir (\S+)|gpg-agent --homedir (\S+)", line)
        if home and Path(home[1] or home[2]).resolve() == (whole.keys / "inspector" / "gnupg").resolve():
            assert not memory_holds(pid, needles), line
            found.append(line)
    return found


# --- what is finished is shredded


def test_an_old_copy_of_the_database_and_all_keys_that_are_alive_open_no_finished_message(tmp_path: Path) -> None:
    settings = {"inspector": "spool_key_seconds = 1"}
    with Whole(tmp_path / "g", roles=["edge"], settings=settings, debug=False) as whole:
        whole.hand_in(said("Will be finished."))
        whole.hand_in(said("Will be held.", "2"), to=["billing@acme.example"])
        old = tmp_path / "old.db"
        with (
            closing(sqlite3.connect(whole.folder / "var" / "vestibule.db")) as now,
            closing(sqlite3.connect(old)) as copy,
        ):
            now.backup(copy)
        assert opened(whole, old) == {True}, "while they wait, the inspector's keys open them"
        whole.stop()
        whole.roles = ["inspector", "edge"]
        whole.start()
        whole.wait_for_messages(1)
        whole.wait_for_held(1)
        keys = {key for (key,) in whole_rows(old, "SELECT DISTINCT key_id FROM spool")}
        for key in keys:
            whole.wait_for_log("keys.destroyed", key=key, seconds=30)
        assert opened(whole, old) == {False}
        held = whole.held()[0]
        assert (whole.keys / "inspector" / "held" / f"{held.id}.key").exists(), "the held one has a key of its own"
        assert not [path for key in keys for path in whole.keys.rglob(f"*{key}*")]


def whole_rows(file: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query).fetchall()


def opened(whole: Whole, database: Path) -> set[bool]:
    """Whether the boxes in a database can be opened with any private box key that there is now."""
    edge = PublicKeys(whole.keys / "public").verify_key("edge")
    keys = keyring.BoxKeys(whole.keys, Purpose.SPOOL)
    found = set()
    for row, channel, box in whole_rows(database, "SELECT id, channel, box FROM spool"):
        binding = Binding(purpose=Purpose.SPOOL, row=row, channel=channel)
        try:
            open_box(box, keys=keys, senders={edge.id: edge}, binding=binding)
            found.add(True)
        except KeysError:
            found.add(False)
    return found


# --- last, for it ends the gateway


def test_the_desks_process_never_loaded_what_opens_a_message(whole: Whole) -> None:
    whole.stop()
    modules = {role: set((whole.folder / f"{role}.modules").read_text().splitlines()) for role in whole.roles}
    assert "gateway.desk.application" in modules["desk"]
    assert not {name for name in modules["desk"] if any(name == one or name.startswith(f"{one}.") for one in OPENS)}
    assert "gateway.worker" in modules["inspector"]
    assert "keys.unbox" in modules["edge"], "the edge opens the outbox"
    parsing = {"gateway.opening", "gateway.mime", "gateway.sanitizing", "gateway.html", "selectolax"}
    assert not modules["edge"] & parsing
