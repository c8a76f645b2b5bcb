"""On PostgreSQL each role can do what it may, and nothing else: asked of the server, and tried."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import InsufficientPrivilege
from store_rows import new_row

from gateway import store
from gateway.errors import Unsafe
from gateway.ids import FixedClock
from gateway.store import schema
from gateway.store.database import Database, Role
from gateway.store.grants import GRANTS, ROLES
from gateway.store.spool import put

_logins = itertools.count(1)
TABLES = [*schema.metadata.tables, "alembic_version"]
PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


@pytest.fixture
def plain(postgres_url: str) -> str:
    return postgres_url.replace("+psycopg", "")


@pytest.fixture
def login(plain: str) -> Callable[[str], str]:
    """The URL of a login of its own that is a member of one group role."""
    name = f"{conninfo_to_dict(plain)['dbname']}_{next(_logins)}"
    made = []
    with psycopg.connect(plain, autocommit=True) as conn:
        for role in ROLES:
            conn.execute(f"CREATE ROLE {name}_{role} LOGIN IN ROLE vestibule_{role}")
            made.append(role)
    return lambda role: plain.replace("postgres:@", f"{name}_{role}@")


@pytest.fixture
def owner(plain: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(plain, autocommit=True) as conn:
        yield conn


def granted(role: str, table: str, privilege: str) -> set[str]:
    """The columns that GRANTS names."""
    columns: set[str] = set()
    every = {column.name for column in schema.metadata.tables[table].columns} if table in schema.metadata.tables else {
        "version_num"
    }  # fmt: skip
    for grant in GRANTS:
        if (grant.role, grant.table) == (role, table) and privilege in grant.privileges:
            columns |= set(grant.columns) or every
    return columns


def test_the_server_knows_exactly_these_grants(owner: psycopg.Connection) -> None:
    for role in ROLES:
        for table in TABLES:
            for privilege in PRIVILEGES:
                wanted = granted(role, table, privilege)
                if privilege in ("SELECT", "INSERT", "UPDATE", "REFERENCES"):
                    rows = owner.execute(
                        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT "
                        "attisdropped AND has_column_privilege(%s, attrelid, attnum, %s)",
                        (f'"{table}"', f"vestibule_{role}", privilege),
                    )
                    assert {row[0] for row in rows} == wanted, (role, table, privilege)
                else:
                    row = owner.execute(
                        "SELECT has_table_privilege(%s, %s, %s)", (f"vestibule_{role}", f'"{table}"', privilege)
                    ).fetchone()
                    assert row == (bool(wanted),), (role, table, privilege)


def test_a_grant_that_was_dropped_is_taken_away(owner: psycopg.Connection, postgres_url: str) -> None:
    owner.execute("GRANT ALL ON spool, messages TO vestibule_desk, PUBLIC")
    store.upgrade(postgres_url)
    test_the_server_knows_exactly_these_grants(owner)


MAY_NOT = {
    "edge": [
        "SELECT box FROM spool", "SELECT * FROM spool", "SELECT count(box) FROM spool", "UPDATE spool SET state = 'x'",
        "DELETE FROM spool", "INSERT INTO spool DEFAULT VALUES RETURNING box", "COPY spool TO STDOUT",
        "SELECT * FROM messages", "SELECT * FROM conversations", "SELECT * FROM contacts", "SELECT * FROM addresses",
        "SELECT * FROM held", "SELECT * FROM feed", "SELECT * FROM users", "SELECT * FROM sessions",
        "SELECT * FROM replies", "INSERT INTO outbox (id) VALUES ('x')", "DELETE FROM outbox", "DELETE FROM dedupe",
        "UPDATE dedupe SET spool_id = 'x'", "TRUNCATE spool", "CREATE TABLE mine (x int)", "DROP TABLE spool",
    ],
    "inspector": [
        "SELECT * FROM sessions", "SELECT * FROM users", "SELECT * FROM idempotency", "SELECT sealed FROM drafts",
        "UPDATE alembic_version SET version_num = 'x'", "CREATE TABLE mine (x int)",
    ],
    "desk": [
        "SELECT * FROM spool", "SELECT id FROM spool", "INSERT INTO spool DEFAULT VALUES", "SELECT * FROM addresses",
        "SELECT * FROM certificates", "SELECT key_inspector FROM contacts", "SELECT for_inspector FROM held",
        "SELECT box FROM replies", "SELECT box FROM requests", "SELECT box FROM outbox", "DELETE FROM outbox",
        "UPDATE outbox SET state = 'x'",
        "INSERT INTO messages (id) VALUES ('x')", "UPDATE messages SET stamp = ''", "DELETE FROM messages",
        "UPDATE conversations SET stamp = ''", "UPDATE conversations SET chain = ''",
        "UPDATE conversations SET protect = 'clear'", "UPDATE conversations SET encrypted = false",
        "UPDATE conversations SET contact_id = 'x'", "DELETE FROM conversations", "UPDATE held SET expires_at = 0",
        "DELETE FROM held", "SELECT * FROM threads", "SELECT * FROM dedupe", "SELECT * FROM notices",
        "UPDATE replies SET state = 'x'", "UPDATE requests SET state = 'x'",
    ],
}  # fmt: skip
NOBODY = ["UPDATE audit SET leaf = ''", "DELETE FROM audit", "TRUNCATE audit", "DELETE FROM audit_heads",
          "SELECT pg_read_file('/etc/passwd')", "COPY audit TO PROGRAM 'cat'"]  # fmt: skip


@pytest.mark.parametrize("role", ROLES)
def test_what_a_role_may_not_is_refused(role: str, login: Callable[[str], str]) -> None:
    others = [f"SET ROLE vestibule_{other}" for other in ROLES if other != role] + ["SET ROLE postgres"]
    with psycopg.connect(login(role), autocommit=True) as conn:
        for statement in [*MAY_NOT[role], *NOBODY, *others]:
            with pytest.raises(InsufficientPrivilege):
                conn.execute(statement)


async def test_a_role_works_under_a_login_of_its_own_and_no_other(
    login: Callable[[str], str], clock: FixedClock
) -> None:
    for role in ROLES:
        for other in ROLES:
            url = login(other).replace("postgresql://", "postgresql+psycopg://")
            if role != other:
                with pytest.raises(Unsafe):
                    Database.open(url, Role(role), clock=clock)
                continue
            db = Database.open(url, Role(role), clock=clock)
            if role == "edge":
                assert not (await put(db, new_row(clock))).repeated
            await db.close()


async def test_an_owner_s_login_takes_the_role_s_rights(postgres_url: str, clock: FixedClock) -> None:
    db = Database.open(postgres_url, Role.DESK, clock=clock)
    who = await db.read(lambda conn: conn.exec_driver_sql("SELECT current_user").scalar())
    assert who == "vestibule_desk"
    await db.close()
