"""Who may do what to which table on PostgreSQL: data, applied by `gateway.store.upgrade`, and tested line by line.

Rules:
1. What isn't here isn't granted. `upgrade` takes everything away first, so that a grant that was dropped is dropped.
2. The edge inserts into the spool and can't read a box back; of what waits it sees states and times, for the metrics.
3. The desk can't see a box, an address, a certificate, or anything in the spool. It changes no stamped column.
4. Nobody but the owner changes or deletes a leaf of the audit.
5. SQLite has no grants: there the roles are kept apart by their keys alone. Its README says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from gateway.store import schema
from gateway.store.engines import role_name


@dataclass(frozen=True, slots=True)
class Grant:
    """`privileges` in SQL's words. With `columns`, on these only (SELECT, INSERT and UPDATE can be)."""

    role: str
    table: str
    privileges: tuple[str, ...]
    columns: tuple[str, ...] = ()


ROLES: Final = ("edge", "inspector", "desk")

_READ = ("SELECT",)
_ADD = ("SELECT", "INSERT")
_COUNT = ("SELECT", "INSERT", "UPDATE")
_ALL = ("SELECT", "INSERT", "UPDATE", "DELETE")
_DELIVERY = (
    "id", "channel", "kind", "conversation_id", "state", "attempts", "reason", "code", "tls", "created_at",
    "changed_at", "due_at",
)  # fmt: skip


def _but(table: str, *hidden: str) -> tuple[str, ...]:
    return tuple(column.name for column in schema.metadata.tables[table].columns if column.name not in hidden)


GRANTS: Final[tuple[Grant, ...]] = (
    # everybody appends to the audit, each to a chain of its own
    *(Grant(role, "audit", _ADD) for role in ROLES),
    *(Grant(role, "audit_heads", _COUNT) for role in ROLES),
    *(Grant(role, "alembic_version", _READ) for role in ROLES),
    # the edge
    Grant("edge", "spool", ("INSERT",)),
    Grant("edge", "spool", _READ, ("id", "state", "attempts", "received_at")),
    Grant("edge", "held", _READ, ("held_at", "expires_at")),
    Grant("edge", "replies", _READ, ("id", "state", "created_at")),
    Grant("edge", "dedupe", _ADD),
    Grant("edge", "bodies", _ADD),
    Grant("edge", "rates", _COUNT),
    Grant("edge", "outbox", _READ),
    Grant(
        "edge", "outbox", ("UPDATE",),
        ("state", "due_at", "attempts", "fence", "box", "attempting", "reason", "code", "tls", "changed_at"),
    ),
    Grant("edge", "feed", ("INSERT",)),
    # the inspector: everything but what belongs to people's sessions
    *(
        Grant("inspector", name, _ALL)
        for name in (
            "spool", "held", "dedupe", "bodies", "rates", "contacts", "addresses", "certificates", "conversations",
            "messages", "threads", "feed", "replies", "requests", "notices", "outbox",
        )
    ),
    Grant("inspector", "drafts", _READ, ("conversation_id",)),
    Grant("inspector", "drafts", ("DELETE",)),
    # the desk
    Grant("desk", "held", _READ, _but("held", "for_inspector")),
    Grant("desk", "contacts", _READ, _but("contacts", "key_inspector")),
    Grant("desk", "conversations", _READ),
    Grant(
        "desk", "conversations", ("UPDATE",),
        ("state", "claimed_by", "lease_until", "fence", "updated_at", "waiting_since", "closed_at"),
    ),
    Grant("desk", "messages", _READ),
    Grant("desk", "feed", _ADD),
    Grant("desk", "replies", _READ, _but("replies", "box")),
    Grant("desk", "replies", ("INSERT",)),
    Grant("desk", "requests", _READ, _but("requests", "box")),
    Grant("desk", "requests", ("INSERT",)),
    Grant("desk", "outbox", _READ, _DELIVERY),
    *(Grant("desk", name, _ALL) for name in ("rates", "users", "sessions", "idempotency", "drafts")),
)  # fmt: skip


def statements() -> Iterator[str]:
    """SQL that takes everything away from the group roles and then grants what stands in GRANTS."""
    groups = ", ".join(role_name(role) for role in ROLES)
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, {groups}"
    yield f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, {groups}"
    yield f"REVOKE CREATE ON SCHEMA public FROM PUBLIC, {groups}"
    yield f"GRANT USAGE ON SCHEMA public TO {groups}"
    for grant in GRANTS:
        columns = f" ({', '.join(_quoted(name) for name in grant.columns)})" if grant.columns else ""
        rights = ", ".join(f"{privilege}{columns}" for privilege in grant.privileges)
        yield f"GRANT {rights} ON {_quoted(grant.table)} TO {role_name(grant.role)}"


def _quoted(name: str) -> str:
    return f'"{name}"'


def apply(conn: Connection) -> None:
    """Makes the group roles if they aren't there (they belong to the server, not to the database), then grants."""
    for role in ROLES:
        name = role_name(role)
        conn.execute(
            text(
                f"DO $$ BEGIN CREATE ROLE {name} NOLOGIN; "
                "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
            )
        )
    for statement in statements():
        conn.execute(text(statement))
