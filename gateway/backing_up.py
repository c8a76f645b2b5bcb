"""Backup and restore: configuration, key files and the store as one sealed file (`keys.lifecycle` says how).

Rules: nothing in the backup is readable without its passphrase; what was destroyed before the backup isn't in it, and
what is destroyed afterwards lives on in it: keep backups as long as you must, not longer.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from gateway.config import Config, load
from gateway.errors import ConfigError
from gateway.store import copying
from keys import lifecycle
from keys.secret import Secret

CONFIG = "vestibule.toml"
STORE = "store.copy"


def back_up(config: Config, config_file: Path, target: Path, passphrase: Secret[str]) -> int:
    """Bytes written. Raises ConfigError, StoreError, OSError."""
    if target.exists():
        raise ConfigError(str(target), "exists already", "a backup never overwrites")
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=target.absolute().parent) as work:

        def snapshot() -> dict[str, Path]:
            named = {CONFIG: config_file, STORE: copying.snapshot(config.store_url, Path(work))}
            return named | {
                f"files/{number}": path for number, path in enumerate(_referenced(config)) if path.is_file()
            }

        return lifecycle.backup(target.absolute(), passphrase, keys=config.keys_folder, snapshot=snapshot)


def restore_into(source: Path, folder: Path, passphrase: Secret[str]) -> tuple[Path, ...]:
    """What was made. The store is loaded into the database that the configuration names, which must be empty. Raises
    ConfigError, KeysError, StoreError, OSError."""
    try:
        made = lifecycle.restore(source, folder.absolute(), passphrase)
    except FileExistsError:
        raise ConfigError(str(folder), "isn't empty", "restore into an empty folder") from None
    except FileNotFoundError:
        raise ConfigError(str(source), "isn't there") from None
    config = load(folder / CONFIG)
    if folder.absolute() in config.keys_folder.parents and not config.keys_folder.exists():
        config.keys_folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "keys").rename(config.keys_folder)
    for number, path in enumerate(_referenced(config)):
        kept = folder / "files" / str(number)
        if kept.exists() and not path.exists() and folder.absolute() in path.parents:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            kept.rename(path)
    left = folder / "files"
    if left.is_dir() and not any(left.iterdir()):
        left.rmdir()
    if config.store_url.startswith("sqlite:///"):
        Path(config.store_url.removeprefix("sqlite:///")).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    copying.load_in(config.store_url, folder / STORE)
    (folder / STORE).unlink()
    return tuple(path for path in made if path.exists())


def _referenced(config: Config) -> tuple[Path, ...]:
    """The files that the configuration names, in an order that only the configuration decides."""
    names = [config.store.password_file, config.desk.certificate_file, config.desk.key_file]
    for listener in config.edge.listeners:
        names += [listener.certificate_file, listener.key_file, listener.client_ca_file, listener.users_file]
    names += [hop.secret_file for hop in config.edge.trusted_hops]
    names += [config.sending.smarthost.ca_file, config.sending.smarthost.password_file, config.sending.dkim.key_file]
    return tuple(config.path(name) for name in dict.fromkeys(names) if name)
