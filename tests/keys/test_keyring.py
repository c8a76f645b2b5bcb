"""Our own keys: made, loaded, rotated and retired, whatever dies in between."""

from __future__ import annotations

import dataclasses
import os
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keys import atrest, box, keyfiles, keyring, stamp
from keys.box import Binding, KeyId, PublicKeys, Purpose
from keys.errors import BadData, BadSignature, CannotDecrypt, ExposedKey, MissingKey
from keys.keyfiles import POINTS
from keys.secret import Secret
from keys.stamping import Stamper
from keys.unbox import BoxPrivateKey, open_box

SPOOL = Binding(purpose=Purpose.SPOOL, row="01JROW", channel="email")
OVERLAP = 1200.0


class Clocks:
    """A wall clock and a steady one, moved by hand, apart if need be."""

    def __init__(self) -> None:
        self.wall = datetime(2026, 8, 1, 12, tzinfo=UTC)
        self.steady = 1000.0

    def now(self) -> datetime:
        return self.wall

    def pass_(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.steady += seconds

    def rotation(self, folder: Path) -> keyring.Rotation:
        return keyring.Rotation(folder, now=self.now, clock=lambda: self.steady)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def folder(tmp_path: Path, clocks: Clocks) -> Path:
    keyring.generate(tmp_path / "keys", now=clocks.now)
    return tmp_path / "keys"


def boxed(folder: Path, payload: bytes = b"customer's words") -> bytes:
    edge = keyring.Edge.load(folder)
    return box.seal(
        Secret(payload), to=PublicKeys(folder / "public").current(Purpose.SPOOL), by=edge.sign, binding=SPOOL
    )


def opens(folder: Path, sealed: bytes) -> bytes:
    holder = keyring.Holder.load(folder)
    return open_box(
        sealed, binding=SPOOL, keys=holder.opening(Purpose.SPOOL, SPOOL.row),
        senders=keyring.senders(holder.public, Purpose.SPOOL),
    ).payload.reveal()  # fmt: skip


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# --- making and loading


def test_everything_is_made_once_and_only_its_owner_may_look(folder: Path, clocks: Clocks) -> None:
    for path in folder.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    before = snapshot(folder)
    assert keyring.generate(folder, now=clocks.now) == ()
    assert snapshot(folder) == before


def test_what_is_missing_is_made_and_nothing_else(folder: Path) -> None:
    before = snapshot(folder)
    (folder / "public" / "desk.sign.pub").unlink()
    (folder / "desk" / "session.key").unlink()
    made = {path.name for path in keyring.generate(folder)}
    assert made == {"desk.sign.pub", "session.key"}
    after = snapshot(folder)
    assert {name for name in before if before[name] != after[name]} == {"desk/session.key"}


def test_another_hosts_public_key_is_left_alone(folder: Path) -> None:
    (folder / "desk" / "sign.key").unlink()
    public = (folder / "public" / "desk.sign.pub").read_bytes()
    keyring.generate(folder)
    assert not (folder / "desk" / "sign.key").exists()
    assert (folder / "public" / "desk.sign.pub").read_bytes() == public


def test_each_role_loads_from_its_own_folders(folder: Path, tmp_path: Path) -> None:
    def only(*names: str) -> Path:
        place = tmp_path / "-".join(names)
        place.mkdir()
        for name in names:
            (place / name).symlink_to(folder / name)
        return place

    assert keyring.Edge.load(only("public", "edge"))
    assert keyring.Inspector.load(only("public", "inspector", "shared"))
    assert keyring.Holder.load(only("inspector", "public"))
    desk = only("desk", "shared", "public")
    assert box.load_signing_key(desk / "desk" / "sign.key").public == PublicKeys(desk / "public").verify_key("desk")
    assert len(atrest.load_secret(desk / "desk" / "session.key")) == 32
    assert atrest.load_roots(desk / "shared", "desk-atrest")
    with pytest.raises(MissingKey):
        keyring.Holder.load(desk)
    with pytest.raises(MissingKey):
        keyring.Edge.load(desk)


def test_a_key_that_anybody_may_read_is_not_used(folder: Path) -> None:
    (folder / "inspector" / "sign.key").chmod(0o644)
    with pytest.raises(ExposedKey):
        keyring.Holder.load(folder)


@pytest.mark.parametrize(
    "text", ["", "junk", "vestibule-sign-1 !!!", "vestibule-secret-1 AAAA", "vestibule-sign-1 AAAA", "\xff"]
)
def test_a_damaged_key_file_is_said_to_be_so(folder: Path, text: str) -> None:
    (folder / "edge" / "sign.key").write_text(text, "latin-1")
    with pytest.raises(BadData):
        keyring.Edge.load(folder)


def test_the_three_keys_of_the_edge_differ(folder: Path) -> None:
    edge = keyring.Edge.load(folder)
    assert len({edge.dedupe.reveal(), edge.lane.reveal(), edge.body.reveal()}) == 3
    again = keyring.Edge.load(folder)
    assert edge.lane == again.lane


def test_root_keys_at_rest_rotate_and_the_index_stays(folder: Path) -> None:
    before = keyring.Inspector.load(folder)
    sealed = before.atrest.seal(Secret(b"alice@example.org"), "contacts.address")
    wrapped = before.atrest.new_data_key("contact:1")
    keyring.new_root(folder / "inspector", "atrest")
    after = keyring.Inspector.load(folder)
    assert after.atrest.current != before.atrest.current
    assert after.atrest.open(sealed, "contacts.address") == Secret(b"alice@example.org")
    assert after.atrest.root_of(after.atrest.rewrap(wrapped, "contact:1")) == after.atrest.current
    assert after.atrest.index("address", "a") == before.atrest.index("address", "a")
    with pytest.raises(MissingKey):
        after.desk_atrest.index("address", "a")


# --- boxes and stamps


def test_a_box_opens_at_its_place_and_nowhere_else(folder: Path) -> None:
    sealed = boxed(folder)
    assert opens(folder, sealed) == b"customer's words"
    holder = keyring.Holder.load(folder)
    everybody = {
        name: key for purpose in Purpose for name, key in keyring.senders(holder.public, purpose).items()
    }  # fmt: skip
    for binding in (
        Binding(purpose=Purpose.SPOOL, row="01JROW2", channel="email"),
        Binding(purpose=Purpose.SPOOL, row="01JROW", channel="chat"),
        Binding(purpose=Purpose.REPLY, row="01JROW", channel="email"),
    ):
        with pytest.raises(BadSignature):
            open_box(sealed, binding=binding, keys=holder.boxes[Purpose.SPOOL], senders=everybody)


def test_a_box_that_public_keys_alone_could_make_is_refused(folder: Path) -> None:
    stranger = box.SigningKey(Secret(os.urandom(32)))
    to = PublicKeys(folder / "public").current(Purpose.SPOOL)
    with pytest.raises(BadSignature):
        opens(folder, box.seal(Secret(b"DMARC pass"), to=to, by=stranger, binding=SPOOL))
    desk = box.load_signing_key(folder / "desk" / "sign.key")
    with pytest.raises(BadSignature):
        opens(folder, box.seal(Secret(b"from the desk"), to=to, by=desk, binding=SPOOL))


def test_every_byte_of_a_box_counts(folder: Path) -> None:
    sealed = boxed(folder)
    for at in [*range(100), *range(100, len(sealed), 97), len(sealed) - 1]:
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises((BadData, BadSignature, MissingKey, CannotDecrypt)):
            opens(folder, bytes(changed))


def test_a_stamp_covers_every_field(folder: Path) -> None:
    holder = keyring.Holder.load(folder)
    row = stamp.StampedRow(
        tenant="t", conversation="c", message="m", sequence=1, revision=1, policy_version=1, ciphertext=b"x"
    )
    (signature,) = Stamper(holder.stamp).stamp(row)
    key = PublicKeys(folder / "public").verify_key("stamp")
    stamp.verify(key, signature, row)
    for field in dataclasses.fields(row):
        value = getattr(row, field.name)
        other = replace(row, **{field.name: value + 1 if isinstance(value, int) else value + value[:1]})
        with pytest.raises(BadSignature):
            stamp.verify(key, signature, other)


# --- rotation


def test_rows_that_wait_open_after_a_rotation_and_new_ones_use_the_new_key(folder: Path, clocks: Clocks) -> None:
    rotation = clocks.rotation(folder)
    waiting = boxed(folder)
    old = box.parse(waiting).key
    clocks.pass_(600)
    new = rotation.rotate(Purpose.SPOOL)
    later = boxed(folder)
    assert box.parse(later).key == new != old
    assert opens(folder, waiting) == opens(folder, later) == b"customer's words"
    assert keyring.current(folder, Purpose.SPOOL) == (new, clocks.wall)


def test_a_key_is_destroyed_only_when_all_three_proofs_are_there(folder: Path, clocks: Clocks) -> None:
    rotation = clocks.rotation(folder)
    waiting = boxed(folder)
    old = box.parse(waiting).key
    clocks.pass_(600)
    rotation.rotate(Purpose.SPOOL)
    assert rotation.retire(Purpose.SPOOL, set(), OVERLAP) == (), "too early"
    clocks.wall += timedelta(days=1)
    assert rotation.retire(Purpose.SPOOL, set(), OVERLAP) == (), "only the wall clock stepped"
    clocks.steady += OVERLAP
    assert rotation.retire(Purpose.SPOOL, {old}, OVERLAP) == (), "a row bears it"
    assert opens(folder, waiting)
    copy = {path.name: path.read_bytes() for path in (folder / "inspector").glob("spool.*.key")}
    assert rotation.retire(Purpose.SPOOL, set(), OVERLAP) == (old,)
    with pytest.raises(MissingKey):
        opens(folder, waiting)
    left = snapshot(folder)
    gone = next(content for name, content in copy.items() if old in name)
    assert not any(gone in content for content in left.values())
    assert not any(old in name for name in left)
    assert rotation.retire(Purpose.SPOOL, set(), 0) == (), "the newest always stays"


def test_a_clock_that_steps_back_never_makes_the_old_key_current_again(folder: Path, clocks: Clocks) -> None:
    rotation = clocks.rotation(folder)
    seen = [keyring.current(folder, Purpose.SPOOL)[0]]
    for step in (timedelta(0), timedelta(days=-30), timedelta(seconds=-1), timedelta(days=40)):
        clocks.wall += step
        seen.append(rotation.rotate(Purpose.SPOOL))
        assert PublicKeys(folder / "public").current(Purpose.SPOOL).id == seen[-1]
    assert len(set(seen)) == 5


def test_a_running_process_sees_keys_that_another_made_and_destroyed(folder: Path, clocks: Clocks) -> None:
    keys, public = keyring.BoxKeys(folder, Purpose.SPOOL), PublicKeys(folder / "public")
    keys.load()
    first = public.current(Purpose.SPOOL).id
    clocks.pass_(600)
    rotation = clocks.rotation(folder)
    new = rotation.rotate(Purpose.SPOOL)
    assert public.current(Purpose.SPOOL).id == new
    assert keys[new].public().id == new
    clocks.pass_(OVERLAP)
    rotation.retire(Purpose.SPOOL, set(), OVERLAP)
    keys.load()
    assert set(keys) == {new}
    assert keys.get(first) is None
    with pytest.raises(BadData):
        keys[KeyId("*")]


def test_a_held_row_has_a_key_of_its_own_beside_the_purposes(folder: Path) -> None:
    waiting = boxed(folder)
    holder = keyring.Holder.load(folder)
    own = holder.hold(SPOOL.row)
    assert holder.hold(SPOOL.row).public() == own.public()
    held = box.seal(Secret(b"held"), to=own.public(), by=holder.sign, binding=SPOOL)
    assert opens(folder, held) == b"held"
    assert opens(folder, waiting) == b"customer's words", "until the held box is stored, the first one is all there is"
    for name in ("../sign", "a/b", "", "x" * 65, "*", "a.b", "ä"):
        with pytest.raises(BadData):
            holder.held_path(name)


# --- dying in between

WORK: dict[str, str] = {
    "rotate": "keyring.Rotation(folder, now=lambda: later, reach=reach).rotate(Purpose.SPOOL)",
    "generate": "(folder / 'public' / 'edge.sign.pub').unlink(); keyring.generate(folder, reach=reach)",
    "retire": "steady = iter(range(0, 10**9, 10**6)).__next__; "
    "r = keyring.Rotation(folder, now=lambda: later, clock=steady, reach=reach); "
    "r.rotate(Purpose.SPOOL); r.retire(Purpose.SPOOL, set(), 0.0)",
    "new_root": "keyring.new_root(folder / 'inspector', 'atrest', now=lambda: later, reach=reach)",
}
SCRIPT = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from keys import keyring
from keys.box import Purpose
folder, wanted, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
later = datetime(2026, 8, 2, tzinfo=UTC)
def reach(point):
    global count
    if point == wanted:
        count -= 1
        if count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
{work}
"""


def killed(folder: Path, work: str, point: str, nth: int = 1) -> bool:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(work=WORK[work]), str(folder), point, str(nth)], check=False, timeout=60
    )
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode != 0


@pytest.mark.parametrize("work", sorted(WORK))
@pytest.mark.parametrize("point", POINTS)
def test_a_process_killed_at_any_point_leaves_keys_that_work(folder: Path, work: str, point: str) -> None:
    waiting = boxed(folder)
    old = box.parse(waiting).key
    died = killed(folder, work, point)
    keyring.generate(folder)
    assert not list(folder.rglob(".*.new")), "no half-written file is left"
    assert not list(folder.rglob(".*.dead")), "no half-destroyed file is left"
    public = PublicKeys(folder / "public")
    assert public.verify_key("edge") == keyring.Edge.load(folder).sign.public
    assert keyring.Inspector.load(folder).atrest
    for published in (folder / "public").glob("spool.*.pub"):
        assert (folder / "inspector" / f"{published.stem}.key").exists(), "nobody seals to what can't be opened"
    assert opens(folder, boxed(folder, b"after the crash")) == b"after the crash"
    if work != "retire":
        assert opens(folder, waiting) == b"customer's words"
    elif point.startswith("keys.destroy") and died:
        with pytest.raises(MissingKey):
            opens(folder, waiting)
    fresh = keyring.Rotation(folder)
    assert box.parse(boxed(folder)).key != fresh.rotate(Purpose.SPOOL)
    assert old


def test_the_points_are_those_that_are_reached(folder: Path) -> None:
    reached: set[str] = set()
    rotation = keyring.Rotation(folder, clock=iter(range(10**6)).__next__, reach=reached.add)
    rotation.rotate(Purpose.SPOOL)
    rotation.retire(Purpose.SPOOL, set(), 0.0)
    assert reached == set(POINTS)


def test_an_orphan_that_was_never_published_goes_when_it_is_superseded(folder: Path, clocks: Clocks) -> None:
    clocks.pass_(600)
    assert killed(folder, "rotate", "keys.private.finished")
    orphans = {path.stem for path in (folder / "inspector").glob("spool.*.key")} - {
        path.stem for path in (folder / "public").glob("spool.*.pub")
    }
    assert len(orphans) == 1
    clocks.wall = datetime(2026, 8, 3, tzinfo=UTC)
    rotation = clocks.rotation(folder)
    rotation.rotate(Purpose.SPOOL)
    clocks.pass_(OVERLAP)
    gone = rotation.retire(Purpose.SPOOL, set(), OVERLAP)
    assert {name.rpartition(".")[2] for name in orphans} < set(gone)


def test_two_that_write_the_same_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    target = tmp_path / "one.key"
    with ThreadPoolExecutor(8) as pool:
        wrote = list(pool.map(lambda n: keyfiles.write_new(target, f"{n}\n", "private"), range(32)))
    assert wrote.count(True) == 1
    assert target.read_text() == f"{wrote.index(True)}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["one.key"]


def test_a_private_key_gives_its_public_one_back() -> None:
    private = BoxPrivateKey.generate()
    assert BoxPrivateKey(private.seed).public() == private.public()
