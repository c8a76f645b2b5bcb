"""The store: schema and grants, spool, queue, outbox, the desk's tables, the audit. See README.md beside this file."""

from __future__ import annotations


def upgrade(url: str) -> None:
    """Makes or brings up to date the tables and, on PostgreSQL, the roles' grants. Needs the owner's rights there.
    Raises StoreDown, Unsafe."""
    from gateway.store.migrating import upgrade as run

    run(url)


def current(url: str) -> str:
    """The revision that the store is at, "" when it is empty. Raises StoreDown."""
    from gateway.store.migrating import current as ask

    return ask(url)
