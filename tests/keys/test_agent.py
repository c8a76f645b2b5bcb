"""The key process and its openers, as real processes: what they answer, what they refuse, how they die."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from keys import box, keyring, stamp
from keys.agent_client import AgentClient, hand_over
from keys.box import Binding, KeyId, PublicKeys, Purpose
from keys.directory import Standing, Trust
from keys.errors import BadData, BadSignature, CannotDecrypt, ExposedKey, MissingKey, TooLarge, TooSlow, Unavailable
from keys.limits import Limits
from keys.opener_client import OpenerClient
from keys.openpgp import Fingerprint, OpenPGP, Sealed, SignatureStatus
from keys.protocol import Kind
from keys.secret import Secret
from keys.testing import encrypted, give_mailboxes, identities, new_identity, signed
from keys.unbox import open_box

CANARY = b"canary 5555 5555 5555 4444 in a customer's letter"
LIMITS = {"max_bytes": 1_000_000, "seconds": 20.0}


def binding(row: str = "01JROW", purpose: Purpose = Purpose.SPOOL) -> Binding:
    return Binding(purpose=purpose, row=row, channel="email")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("house") / "keys"
    keyring.generate(made)
    give_mailboxes(made / "inspector" / "gnupg")
    return made


@pytest.fixture(scope="module")
def agent(folder: Path) -> Iterator[AgentClient]:
    with AgentClient(folder) as started:
        started.import_certificate(identities()["alice"].certificate, [], Trust.MANUAL)
        yield started


@pytest.fixture(scope="module")
def letter() -> bytes:
    people = identities()
    return encrypted(CANARY, to=[people["support"].certificate], by=people["alice"])


def boxed(folder: Path, payload: bytes, place: Binding | None = None) -> bytes:
    place = place or binding()
    role = {"spool": "edge", "reply": "desk", "request": "desk"}[place.purpose]
    by = box.load_signing_key(folder / role / "sign.key")
    return box.seal(Secret(payload), to=PublicKeys(folder / "public").current(place.purpose), by=by, binding=place)


@contextlib.asynccontextmanager
async def opener(
    agent: AgentClient, sealed: bytes, place: Binding | None = None, kind: Kind = Kind.INBOUND
) -> AsyncIterator[OpenerClient]:
    ours, theirs = socket.socketpair()
    try:
        agent.attend(theirs, sealed, place or binding(), kind)
    finally:
        theirs.close()
    client = OpenerClient(ours)
    try:
        yield client
    finally:
        client.close()


# --- the path of a message


async def test_a_box_is_unsealed_and_its_message_opened(agent: AgentClient, folder: Path, letter: bytes) -> None:
    async with opener(agent, boxed(folder, letter)) as client:
        engine: OpenPGP = client
        unboxed = await client.unseal()
        assert unboxed.payload == Secret(letter)
        assert unboxed.binding == binding()
        assert unboxed.signer == PublicKeys(folder / "public").verify_key("edge").id
        unsealed = await engine.open(Sealed(unboxed.payload.reveal()), **LIMITS)
        assert unsealed.plaintext == Secret(CANARY)
        (one,) = unsealed.verifications
        alice = identities()["alice"]
        assert (one.status, one.primary_key) == (SignatureStatus.GOOD, alice.fingerprint)
        assert await client.bound("Alice@Example.org") == (alice.fingerprint,)
        assert await client.signers(alice.fingerprint) == ("alice@example.org",)
        assert await client.bound("mallory@example.com") == ()
        assert (await engine.verify(Secret(b"x"), signed(b"x", alice), **LIMITS)).verifications[0].status == "good"


async def test_a_reply_is_sealed_signed_and_boxed(agent: AgentClient, folder: Path) -> None:
    place, alice = binding("R1", Purpose.REPLY), identities()["alice"]
    async with opener(agent, boxed(folder, b"an answer", place), place, Kind.REPLY) as client:
        assert (await client.unseal()).payload == Secret(b"an answer")
        ours = await client.mailbox_key("support@acme.example")
        sealed = await client.seal(Secret(b"an answer"), to=[alice.fingerprint], sign_as=ours, seconds=20)
        assert alice.gpg("--decrypt", stdin=sealed.data, check=False) == b"an answer"
        assert b"BEGIN PGP SIGNATURE" in await client.sign(Secret(b"x"), sign_as=ours, seconds=20)
        assert (await client.export(ours))[0] & 0x80
        outgoing = await client.box(Secret(sealed.data), Purpose.OUTBOX, "O1", "email")
        edge = keyring.Edge.load(folder)
        opened = open_box(outgoing, binding=binding("O1", Purpose.OUTBOX), keys=edge.outbox, senders=edge.senders())
        assert opened.payload == Secret(sealed.data)
        for purpose in (Purpose.SPOOL, Purpose.REPLY, Purpose.REQUEST):
            with pytest.raises(BadData):
                await client.box(Secret(b"x"), purpose, "O1", "email")
        with pytest.raises(MissingKey):
            await client.export(alice.fingerprint)


async def test_an_opener_answers_only_what_its_kind_may(agent: AgentClient, folder: Path, letter: bytes) -> None:
    async with opener(agent, boxed(folder, letter)) as client:
        with pytest.raises(BadData):
            await client.seal(
                Secret(b"x"), to=[identities()["alice"].fingerprint], sign_as=Fingerprint("A" * 40), seconds=9
            )
        with pytest.raises(BadData):
            await client.box(Secret(b"x"), Purpose.OUTBOX, "O1", "email")
        with pytest.raises(BadData):
            await client.mailbox_key("support@acme.example")
    place = binding("R2", Purpose.REPLY)
    async with opener(agent, boxed(folder, b"an answer", place), place, Kind.REPLY) as client:
        with pytest.raises(BadData):
            await client.open(Sealed(letter), **LIMITS)


async def test_a_forged_moved_or_broken_box_is_not_unsealed(agent: AgentClient, folder: Path, letter: bytes) -> None:
    good = boxed(folder, letter)
    async with opener(agent, good, binding("ELSEWHERE")) as client:
        with pytest.raises(BadSignature):
            await client.unseal()
    for junk in (b"", b"VB1", bytes(5_000)):
        async with opener(agent, junk) as client:
            with pytest.raises(BadData):
                await client.unseal()
    async with opener(agent, good[:-1] + bytes([good[-1] ^ 1])) as client:
        with pytest.raises(BadSignature):
            await client.unseal()
    async with opener(
        agent, boxed(folder, b"x", binding("Q", Purpose.REQUEST)), binding("Q", Purpose.OUTBOX)
    ) as client:
        with pytest.raises((MissingKey, BadSignature)):
            await client.unseal()


async def test_our_own_limits_hold_whatever_a_worker_asks(folder: Path, letter: bytes) -> None:
    with AgentClient(folder, Limits(plaintext_bytes=10, opener_requests=3)) as small:
        async with opener(small, boxed(folder, letter)) as client:
            with pytest.raises(TooLarge):
                await client.open(Sealed(letter), max_bytes=10**9, seconds=20)
            for numbers in ({"max_bytes": -1, "seconds": 20.0}, {"max_bytes": 10, "seconds": -1.0}):
                with pytest.raises(BadData):
                    await client.open(Sealed(letter), **numbers)  # type: ignore[arg-type]
            with pytest.raises(Unavailable):
                await client.unseal()


async def test_a_big_message_passes(agent: AgentClient, folder: Path) -> None:
    text = os.urandom(12_000_000)
    big = encrypted(text, to=[identities()["support"].certificate], armor=False)
    async with opener(agent, boxed(folder, big)) as client:
        payload = (await client.unseal()).payload.reveal()
        unsealed = await client.open(Sealed(payload), max_bytes=20_000_000, seconds=20)
        assert unsealed.plaintext == Secret(text)


async def test_a_cancelled_call_breaks_the_pipe_for_good(agent: AgentClient, folder: Path, letter: bytes) -> None:
    async with opener(agent, boxed(folder, letter)) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.0001):
                await client.open(Sealed(letter), **LIMITS)
        with pytest.raises(Unavailable):
            await client.unseal()


# --- held messages


async def test_a_held_message_has_a_key_of_its_own_that_dies_with_it(
    agent: AgentClient, folder: Path, letter: bytes
) -> None:
    place = binding("01JHELD")
    held = agent.hold(boxed(folder, letter, place), place)
    assert box.parse(held).key not in set(keyring.BoxKeys(folder, Purpose.SPOOL))
    async with opener(agent, held, place) as client:
        assert (await client.unseal()).payload == Secret(letter)
    again = agent.hold(held, place)
    assert box.parse(again).key == box.parse(held).key
    assert agent.keep_held(set()) == 0, "it is young"
    path = folder / "inspector" / "held" / "01JHELD.key"
    os.utime(path, (1, 1))
    assert agent.keep_held({"01JHELD"}) == 0
    agent.forget_held("01JHELD")
    agent.forget_held("01JHELD")
    assert not path.exists()
    async with opener(agent, held, place) as client:
        with pytest.raises(MissingKey):
            await client.unseal()
    with pytest.raises(BadSignature):
        agent.hold(boxed(folder, letter), place)
    with pytest.raises(BadData):
        agent.forget_held("../sign")


def test_a_notice_is_boxed_by_the_inspector_and_nothing_else_may_be(agent: AgentClient, folder: Path) -> None:
    place = binding("N1", Purpose.REPLY)
    holder = keyring.Holder.load(folder)
    senders = keyring.senders(holder.public, Purpose.REPLY)
    opened = open_box(
        agent.box(Secret(b"a notice"), place), binding=place, keys=holder.boxes[Purpose.REPLY], senders=senders
    )
    assert opened.payload == Secret(b"a notice")
    with pytest.raises(BadData):
        agent.box(Secret(b"x"), binding("S1", Purpose.SPOOL))


# --- stamps, keys, certificates


def test_the_key_process_stamps_rows_and_heads_and_nothing_else(agent: AgentClient, folder: Path) -> None:
    key = PublicKeys(folder / "public").verify_key("stamp")
    row = stamp.StampedRow(
        tenant="", conversation="c", message="m", sequence=1, revision=1, policy_version=1, ciphertext=bytes(100_000)
    )
    head = stamp.StampedHead(tenant="", conversation="c", epoch=1, length=1, chain=stamp.chain_of([row.digest()]))
    of_row, of_head = agent.stamp(row, head)
    stamp.verify(key, of_row, row)
    stamp.verify(key, of_head, head)

    class Other(stamp.StampedHead):
        __slots__ = ()

        def encode(self) -> bytes:
            return b"\x00\x00\x00\x05other"

    with pytest.raises(BadData):
        agent.stamp(row, Other(tenant="", conversation="c", epoch=1, length=1, chain=b""))


def test_box_keys_rotate_and_retire_in_the_key_process(agent: AgentClient, folder: Path) -> None:
    before = set(keyring.BoxKeys(folder, Purpose.REPLY))
    waiting = boxed(folder, b"x", binding("W", Purpose.REPLY))
    new = agent.rotate(Purpose.REPLY)
    assert PublicKeys(folder / "public").current(Purpose.REPLY).id == new
    assert agent.retire({Purpose.REPLY: before}, 0.0) == ()
    assert agent.retire({}, 0.0) == ()
    time.sleep(1.0)
    assert set(agent.retire({Purpose.REPLY: set()}, 0.5)) == before
    assert box.parse(waiting).key not in set(keyring.BoxKeys(folder, Purpose.REPLY))
    with pytest.raises(BadData):
        agent.rotate(Purpose.OUTBOX)
    with pytest.raises(BadData):
        agent.retire({Purpose.OUTBOX: {KeyId("00")}}, 0.0)
    agent.ping()


def test_certificates_come_pend_and_go(agent: AgentClient) -> None:
    bob, other = identities()["bob"], new_identity("Bob", "bob@example.net")
    (first,) = agent.import_certificate(bob.certificate, [], Trust.MANUAL)
    assert [entry.standing for entry in first.entries] == [Standing.BOUND]
    (second,) = agent.import_certificate(other.certificate, ["bob@example.net"], Trust.MANUAL)
    assert [entry.standing for entry in second.entries] == [Standing.PENDING]
    assert {one.fingerprint for one in agent.certificates()} >= {bob.fingerprint, other.fingerprint}
    assert agent.decide("bob@example.net", other.fingerprint, take=True).standing is Standing.BOUND
    agent.drop_certificate(other.fingerprint)
    assert other.fingerprint not in {entry.fingerprint for entry in agent.entries()}
    with pytest.raises(MissingKey):
        agent.decide("bob@example.net", other.fingerprint, take=True)
    for junk, error in ((b"junk", BadData), (identities()["bob"].secret, BadData), (bytes(300_000), TooLarge)):
        with pytest.raises(error):
            agent.import_certificate(junk, [], Trust.MANUAL)
    with pytest.raises(BadData):
        agent.import_certificate(bob.certificate, ["no address"], Trust.MANUAL)


def test_the_whole_directory_is_fed_at_once_as_it_stood(folder: Path, agent: AgentClient) -> None:
    people = identities()
    found = agent.import_certificate(people["bob"].certificate, [], Trust.MANUAL)
    found += agent.import_certificate(people["mallory"].certificate, ["bob@example.net"], Trust.CANDIDATE)
    entries = [entry for one in found for entry in one.entries]
    with AgentClient(folder) as fresh:
        data = {one.certificate.fingerprint: one.data for one in found}
        assert fresh.feed(data, entries) == 2
        assert set(fresh.entries()) == set(entries)
        assert {one.fingerprint for one in fresh.certificates()} == set(data)
        assert fresh.feed({}, []) == 2


def test_our_own_keys_are_made_imported_renewed_and_exported(agent: AgentClient) -> None:
    made = agent.new_mailbox_key("Sales", "sales@acme.example")
    (key,) = (one for one in agent.mailbox_keys() if one.fingerprint == made)
    assert key.addresses == ("sales@acme.example",)
    assert key.expires_at is not None
    agent.renew_mailbox_key(made, 0)
    (renewed,) = (one for one in agent.mailbox_keys() if one.fingerprint == made)
    assert renewed.expires_at is None
    assert renewed.can_sign
    assert agent.export_mailbox(made)
    assert agent.import_own(identities()["support"].secret) == (identities()["support"].fingerprint,)
    with pytest.raises(BadData):
        agent.import_own(identities()["alice"].certificate)
    with pytest.raises(MissingKey):
        agent.export_mailbox(identities()["alice"].fingerprint)
    with pytest.raises(BadData):
        agent.new_mailbox_key("x\n%echo", "a@acme.example")


# --- many at once, and dying


async def test_many_at_once_all_succeed(agent: AgentClient, folder: Path, letter: bytes) -> None:
    sealed = boxed(folder, letter)

    async def one() -> bool:
        async with opener(agent, sealed) as client:
            payload = (await client.unseal()).payload.reveal()
            return (await client.open(Sealed(payload), **LIMITS)).plaintext == Secret(CANARY)

    for _ in range(2):
        assert all(await asyncio.gather(*(one() for _ in range(24))))


async def test_beyond_the_limit_of_openers_the_caller_waits(folder: Path, letter: bytes) -> None:
    with AgentClient(folder, Limits(openers=1)) as narrow:
        sealed = boxed(folder, letter)
        async with opener(narrow, sealed) as client:
            await client.unseal()
            with pytest.raises(Unavailable):
                async with opener(narrow, sealed):
                    pass
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(Unavailable):
                    async with opener(narrow, sealed) as client:
                        await client.unseal()
                        break
                await asyncio.sleep(0.02)


async def test_an_opener_ends_at_its_time_limit_and_others_go_on(folder: Path, letter: bytes) -> None:
    with AgentClient(folder, Limits(opener_seconds=0.5)) as hasty:
        sealed = boxed(folder, letter)
        async with opener(hasty, sealed) as client:
            await asyncio.sleep(0.8)
            with pytest.raises(Unavailable):
                await client.unseal()
        async with opener(hasty, sealed) as client:
            assert await client.unseal()


def children(pid: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(pid).children(recursive=True) if child.name() != "gpg-agent"]


async def until_gone(processes: list[psutil.Process]) -> None:
    async with asyncio.timeout(10):
        while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes):
            await asyncio.sleep(0.02)


async def test_a_killed_key_process_is_unavailable_once_and_then_back(folder: Path, letter: bytes) -> None:
    with AgentClient(folder) as agent:
        agent.import_certificate(identities()["alice"].certificate, [], Trust.MANUAL)
        sealed, first = boxed(folder, letter), agent.pid
        assert first is not None
        slow = encrypted(
            bytes(60_000_000), to=[identities()["support"].certificate], options=("--compress-algo", "bzip2")
        )
        async with opener(agent, boxed(folder, slow)) as client:
            payload = (await client.unseal()).payload.reveal()
            opening = asyncio.create_task(client.open(Sealed(payload), max_bytes=50_000_000, seconds=20))
            await asyncio.sleep(0.15)
            forked = children(first)
            assert forked
            os.kill(first, signal.SIGKILL)
            with pytest.raises((Unavailable, TooLarge)):
                await opening
        await until_gone(forked)
        async with opener(agent, sealed) as client:
            unsealed = await client.open(Sealed((await client.unseal()).payload.reveal()), **LIMITS)
            assert unsealed.verifications[0].status is SignatureStatus.GOOD, "certificates were fed again"
            assert await client.bound("alice@example.org") == (identities()["alice"].fingerprint,)
        assert agent.pid != first


async def test_a_killed_opener_troubles_its_worker_alone(agent: AgentClient, folder: Path, letter: bytes) -> None:
    sealed, pid = boxed(folder, letter), agent.pid
    assert pid is not None
    async with opener(agent, sealed) as good:
        await good.unseal()
        before = {child.pid for child in children(pid)}
        async with opener(agent, sealed) as client:
            await client.unseal()
            (forked,) = (child for child in children(pid) if child.pid not in before)
            forked.kill()
            with pytest.raises(Unavailable):
                await client.unseal()
        assert await good.unseal()
    assert agent.pid == pid


async def test_a_gone_gpg_agent_comes_back_by_itself(folder: Path, letter: bytes) -> None:
    with AgentClient(folder) as agent:
        for one in psutil.process_iter(["name", "cmdline"]):
            if one.info["name"] == "gpg-agent" and str(folder) in " ".join(one.info["cmdline"] or []):
                one.kill()
        async with opener(agent, boxed(folder, letter)) as client:
            unsealed = await client.open(Sealed((await client.unseal()).payload.reveal()), **LIMITS)
            assert unsealed.plaintext == Secret(CANARY)


def test_calls_from_many_threads_get_their_own_answers(agent: AgentClient) -> None:
    def one(n: int) -> bool:
        row = stamp.StampedRow(
            tenant="", conversation=str(n), message="m", sequence=n, revision=1, policy_version=1, ciphertext=b""
        )
        return agent.stamp(row) == agent.stamp(row)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(200)))


def test_what_is_wrong_with_key_files_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(MissingKey):
        AgentClient(tmp_path).start()
    keyring.generate(tmp_path / "keys")
    (tmp_path / "keys" / "inspector" / "stamp.key").chmod(0o604)
    with pytest.raises(ExposedKey):
        AgentClient(tmp_path / "keys").start()
    with pytest.raises(Unavailable):
        AgentClient(tmp_path / "keys", python="/nowhere/python").start()


def test_a_closed_client_starts_nothing(folder: Path) -> None:
    agent = AgentClient(folder)
    agent.start()
    process = psutil.Process(agent.pid)
    agent.close()
    agent.close()
    assert not process.is_running()
    with pytest.raises(Unavailable):
        agent.ping()
    assert not run_folders(process.pid)


def run_folders(pid: int) -> list[Path]:
    return list(Path("/dev/shm").glob(f"vestibule-*-{pid}-*"))


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no memory file system here")
def test_what_a_killed_key_process_left_in_memory_is_swept_by_the_next(folder: Path, agent: AgentClient) -> None:
    killed = AgentClient(folder)
    killed.start()
    pid, living = killed.pid, agent.pid
    assert pid is not None
    assert living is not None
    os.kill(pid, signal.SIGKILL)
    killed.close()
    assert run_folders(pid)
    with AgentClient(folder):
        assert not run_folders(pid)
        assert run_folders(living)
    agent.ping()


# --- what memory keeps


def memory_holds(pid: int, needle: bytes) -> bool:
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, mode = line.split()[:2]
            if "r" not in mode or "[vvar" in line or "[vsyscall" in line:
                continue
            start, end = (int(word, 16) for word in span.split("-"))
            with contextlib.suppress(OSError, OverflowError, ValueError):
                memory.seek(start)
                if needle in memory.read(end - start):
                    return True
    return False


@pytest.mark.skipif(os.geteuid() != 0, reason="reading another process's memory takes root: it is not dumpable")
async def test_the_process_that_outlives_a_message_keeps_none_of_it(agent: AgentClient, folder: Path) -> None:
    canary = os.urandom(24).hex().encode()
    people = identities()
    sealed = boxed(folder, encrypted(canary * 20, to=[people["support"].certificate], by=people["alice"]))
    pid = agent.pid
    assert pid is not None
    before = {child.pid for child in children(pid)}
    async with opener(agent, sealed) as client:
        payload = (await client.unseal()).payload.reveal()
        assert (await client.open(Sealed(payload), **LIMITS)).plaintext == Secret(canary * 20)
        (forked,) = (child for child in children(pid) if child.pid not in before)
        assert memory_holds(forked.pid, canary), "positive control: the opener has it while it lives"
    agent.hold(sealed, binding())
    await until_gone([forked])
    assert not memory_holds(pid, canary)
    for one in psutil.process_iter(["name", "cmdline"]):
        if one.info["name"] == "gpg-agent" and str(folder) in " ".join(one.info["cmdline"] or []):
            assert not memory_holds(one.pid, canary)
    agent.forget_held("01JROW")


def test_the_key_process_dumps_no_core_and_says_nothing(agent: AgentClient) -> None:
    assert psutil.Process(agent.pid).rlimit(psutil.RLIMIT_CORE) == (0, 0)
    assert not psutil.Process(agent.pid).net_connections("inet")


def test_the_main_thread_is_not_needed_for_the_key_process_to_live(folder: Path) -> None:
    agent = AgentClient(folder)
    starter = threading.Thread(target=agent.start)
    starter.start()
    starter.join()
    time.sleep(0.2)
    agent.ping()
    agent.close()


def test_errors_carry_no_content() -> None:
    for error in (CannotDecrypt(), TooSlow(), Unavailable()):
        assert str(error) == (type(error).__doc__ or "").strip()


async def test_under_fast_recycling_one_opener_serves_several_messages_each_with_its_own_box(
    agent: AgentClient, folder: Path
) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            assert agent.begin_several(theirs, messages=3, seconds=20.0)
        edge = keyring.Edge.load(folder)
        for number in range(3):
            row = binding(f"01JROW{number}")
            payload = Secret(f"message {number}".encode())
            sealed = box.seal(payload, to=edge.public.current(Purpose.SPOOL), by=edge.sign, binding=row)
            worker, opener = socket.socketpair()
            with opener:
                hand_over(ours, opener, sealed, row)
            client = OpenerClient(worker)
            assert (await client.unseal()).payload == payload
            client.close()
        worker, opener = socket.socketpair()
        with opener, contextlib.suppress(Unavailable):
            hand_over(ours, opener, sealed, row)
        with pytest.raises(Unavailable):
            await OpenerClient(worker).unseal()


async def test_begin_does_not_wait_and_a_lost_key_process_shows_at_the_pipe(folder: Path) -> None:
    with AgentClient(folder) as started:
        worker, opener = socket.socketpair()
        with opener:
            assert started.begin(opener, b"not a box", binding())
        with pytest.raises(BadData):
            await OpenerClient(worker).unseal()
        assert started.pid is not None
        os.kill(started.pid, signal.SIGKILL)
        worker, opener = socket.socketpair()
        with opener, contextlib.suppress(Unavailable):
            started.begin(opener, b"not a box", binding())
        with pytest.raises(Unavailable):
            await OpenerClient(worker).unseal()
