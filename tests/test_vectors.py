"""Every vector through the whole gateway: what it decides, what it finds, what an agent sees, what the sender hears;
`vestibule explain` says the same; and nowhere does a canary lie.

On SQLite all of them, on PostgreSQL with each role's own database user a cut through them.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from leaks import MARK, Disk, occurrences, sweep
from roles import Gateway
from sink import Sink
from vector_explain import Explained, explain_vectors
from vector_faults import Odd, insert_row, judge
from vector_format import FOLDER, FormatError, Vector, keys, load_all, parse
from vector_letters import zone
from vector_run import Came, Run
from whole import Whole

from gateway import checks
from gateway.rules import Rule
from keys.testing import identities

pytestmark = pytest.mark.timeout(600)
"""The first test of each gateway waits for all of its vectors."""

VECTORS = load_all()
ALWAYS = frozenset({"encryption.clear", "auth.unproven"})
"""Remarks on nearly every message from a domain that publishes nothing, in clear: stated by no vector but their own."""
ROWS = [vector for vector in VECTORS if vector.channel == "box" and not vector.inject.startswith(("no-gpg", "policy"))]
ODD = [vector for vector in VECTORS if vector.channel == "box" and vector.inject.startswith(("no-gpg", "policy"))]
PLAIN = [vector for vector in VECTORS if vector.channel in ("email", "wire", "reply")]
CUT = [vector for number, vector in enumerate(PLAIN) if number % 5 == 0 and vector.repeat == 1]
"""What runs on PostgreSQL too."""


@dataclass
class Ran:
    """A gateway after its vectors, still running."""

    whole: Whole
    run: Run
    sink: Sink
    disk: Disk
    rows: dict[str, str] = field(default_factory=dict)

    def sweep(self, vector: Vector) -> None:
        """Over everything that the vector's content could have reached."""
        canaries = vector.canaries
        if not canaries:
            return
        self.disk.sweep(canaries)
        sweep(canaries, {"log": self.whole.written()})
        hidden = [one for one in vector.canaries if self._hidden(vector, one)]
        sweep(hidden, {"the desk's answers": b"\0".join([*self.whole.agent.heard, *self.whole.supervisor.heard])})
        mails = [part for mail in self.sink.mails for part in (mail.raw, opened(mail.raw))]
        sweep(
            [] if vector.channel == "reply" else canaries, {f"mail {number}": raw for number, raw in enumerate(mails)}
        )

    @staticmethod
    def _hidden(vector: Vector, canary: str) -> bool:
        """Whether no agent may see it: numbers never; words only where the message passes."""
        return not canary.startswith(MARK) or (
            vector.expect != "accept" and not vector.before and vector.channel != "reply"
        )


@cache
def opened(mail: bytes) -> bytes:
    """A mail of ours, decrypted where we can."""
    found = re.search(rb"-----BEGIN PGP MESSAGE-----.*-----END PGP MESSAGE-----", mail, re.DOTALL)
    return identities()["alice"].gpg("--decrypt", stdin=found[0], check=False) if found else b""


def start(folder: Path, url: str, vectors: list[Vector]) -> Iterator[Ran]:
    with Sink() as sink:
        whole = Whole(
            folder / "g", url=url, smarthost_port=sink.port, records=zone(VECTORS),
            settings={"notices": "first_contact = true"},
        )  # fmt: skip
        with whole:
            disk = Disk((whole.folder,))
            ran = Ran(whole, Run(whole, vectors), sink, disk)
            try:
                ran.run.all()
            except AssertionError as error:
                pytest.fail(f"the vectors did not run: {error}", pytrace=False)
            yield ran


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    for one in start(tmp_path_factory.mktemp("v"), "", PLAIN):
        for vector in ROWS:
            one.rows[vector.name] = insert_row(one.whole, vector)
        yield one


@pytest.fixture(scope="module")
def ran_on_postgres(postgres: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    import psycopg

    with psycopg.connect(postgres("postgres").replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE DATABASE vectors TEMPLATE template_store")
        data = Path(str(connection.execute("SHOW data_directory").fetchone()[0]))  # type: ignore[index]
    for one in start(tmp_path_factory.mktemp("p"), postgres("vectors"), CUT):
        one.disk.folders = (*one.disk.folders, data)
        yield one


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Came]:
    return Odd(tmp_path_factory.mktemp("o")).run(ODD)


@pytest.fixture(scope="module")
def explained(ran: Ran, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Explained]:
    """By `vestibule explain`, with the very configuration of the running gateway."""
    folder = tmp_path_factory.mktemp("x")
    return asyncio.run(explain_vectors(PLAIN, ran.run.raws, ran.whole, folder))


def names(vectors: list[Vector]) -> Any:
    return pytest.mark.parametrize("vector", vectors, ids=lambda vector: vector.name)


# --- the format


def test_names_and_comments_are_there_once() -> None:
    comments = [vector.comment for vector in VECTORS]
    assert len(VECTORS) >= 150
    assert len(set(comments)) == len(comments)


@pytest.mark.parametrize(
    "text",
    [
        b"comment: x\nexpect: accept\ncolour: red\n\nbody",
        b"comment: x\nexpect: perhaps\n\nbody",
        b"expect: accept\n\nbody",
        b"comment: x\n\nbody",
        b"comment: x\nexpect: hold\n\nbody",
        b"comment: x\nexpect: accept\nexpect: hold\n\nbody",
        b"comment: x\nexpect: hold\nfinding: Free Text\n\nbody",
        b"comment: x\nexpect: accept\ndns: example.org SPF v=spf1\n\nbody",
        b"comment: x\nexpect: accept\nchannel: pigeon\n\nbody",
        b"comment: x\nchannel: wire\nexpect: accept\n\nS: 220",
    ],
)
def test_what_has_no_meaning_fails_the_parse(text: bytes) -> None:
    with pytest.raises(FormatError):
        parse("x", text)


def test_the_readme_explains_every_header() -> None:
    told = (FOLDER / "README.md").read_text("utf-8")
    assert not [key for key in keys() if f"`{key}`" not in told]


# --- law 10


def all_rules() -> set[tuple[str, str]]:
    """(layer, code) of every rule that any module of the gateway makes; the layer is only told for `check.failed`."""
    found: dict[str, Rule] = {}

    def look(value: object) -> None:
        if isinstance(value, Rule):
            found[value.code] = value
        elif isinstance(value, dict):
            for inner in value.values():
                look(inner)
        elif isinstance(value, (tuple, list, set, frozenset)):
            for inner in value:
                look(inner)

    root = Path(checks.__file__).parent.parent
    for path in sorted(root.rglob("*.py")):
        text = path.read_text("utf-8")
        made = [
            node
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Rule"
        ]
        if made or path.parent.name == "checks":
            module = importlib.import_module(".".join(("gateway", *path.relative_to(root).with_suffix("").parts)))
            for value in vars(module).values():
                look(value)
    layers = (checks.ADMISSION, checks.INSPECTION, checks.RELEASE, checks.OUTBOUND)
    for layer in layers:
        look(layer.rules)
    codes = {("", code) for code in found if code != "check.failed"}
    return codes | {(layer.name, "check.failed") for layer in layers}


def test_every_rule_has_a_vector() -> None:
    stated = {pair for vector in VECTORS for pair in vector.code_layers}
    missing = {
        pair for pair in all_rules() if pair not in stated and ("", pair[1]) not in stated - {("", "check.failed")}
    }
    assert not missing


def test_every_finding_of_a_vector_is_a_rule() -> None:
    known = {code for _, code in all_rules()}
    assert not {code for vector in VECTORS for code in vector.codes} - known


def test_every_rule_says_what_the_outside_may_hear() -> None:
    """Law 7: an outward text, ASCII, one line, without a placeholder; and RFC 3463's status."""
    rules = [
        rule for layer in (checks.ADMISSION, checks.INSPECTION, checks.RELEASE, checks.OUTBOUND) for rule in layer.rules
    ]
    for rule in rules:
        assert re.fullmatch(r"[ -z|}~]{4,200}", rule.says), rule.code
        assert re.fullmatch(r"[0-7]\.\d{1,3}", rule.status), rule.code
        assert rule.plain.endswith("."), rule.code


def test_each_layer_and_action_has_a_vector() -> None:
    """Design, section 2: one vector per layer and action, as far as the layer has rules with that action."""
    for layer in (checks.ADMISSION, checks.INSPECTION, checks.RELEASE, checks.OUTBOUND):
        for action in {rule.action for rule in layer.rules}:
            codes = {rule.code for rule in layer.rules if rule.action is action}
            assert any(codes & vector.codes for vector in VECTORS), (layer.name, action)


# --- through the gateway


def judged(vector: Vector, came: Came) -> None:
    assert came.decision == vector.expect, (came.decision, came.answer, sorted(came.findings), came.reply)
    if vector.answer:
        assert came.answer.startswith(vector.answer), came.answer
    if vector.queued is not None:
        assert came.queued == vector.queued
    if vector.channel == "email" and came.row:
        shown = vector.codes - {"size.over"}
        assert shown <= came.findings, sorted(came.findings)
        if vector.exact:
            assert came.findings - ALWAYS == shown - ALWAYS, sorted(came.findings)
    if vector.channel == "reply":
        assert vector.codes == came.findings, came.reply
        assert came.how == (vector.protection or came.how)
    if vector.channel == "box":
        assert vector.codes <= came.findings or came.decision == "defer", sorted(came.findings)
    if came.agent is not None and vector.channel == "email":
        seen(vector, came.agent)


def seen(vector: Vector, agent: dict[str, Any]) -> None:
    """What the desk gives to the agent's browser."""
    text = agent["text"]
    everything = "\n".join([agent["author_name"], agent["subject"], text, *(str(one) for one in agent["attachments"])])
    for wanted in vector.sees:
        assert wanted in everything, everything[:2_000]
    for unwanted in vector.hides:
        assert unwanted not in everything, everything[:2_000]
    if vector.subject is not None:
        assert agent["subject"] == vector.subject
    assert [one["name"] for one in agent["attachments"] if one["name"] in vector.attachments] == list(
        vector.attachments
    )
    for kind, count in vector.redacted:
        assert agent["redactions"].get(kind) == count, agent["redactions"]
    trust = agent["trust"]
    if vector.encrypted:
        assert trust["encrypted"] == vector.encrypted
    verified = [one["signer"] for one in trust["signatures"] if one["status"] == "verified"]
    assert verified == ([vector.signed_by] if vector.signed_by else [])
    if vector.authenticated:
        assert (trust["authenticated_domain"], trust["dmarc"]) == (vector.authenticated, "pass")
    assert trust["tls"] == {"none": "", "1.2": "TLSv1.2", "1.3": "TLSv1.3"}[vector.tls] or trust["tls"] in (
        "none",
        None,
    )


@names(PLAIN)
def test_vector(vector: Vector, ran: Ran) -> None:
    judged(vector, ran.run.came[vector.name])
    ran.sweep(vector)


@names(CUT)
def test_vector_on_postgresql(vector: Vector, ran_on_postgres: Ran) -> None:
    judged(vector, ran_on_postgres.run.came[vector.name])
    ran_on_postgres.sweep(vector)


@names(ROWS)
def test_row(vector: Vector, ran: Ran) -> None:
    row = ran.rows[vector.name]
    (held,) = ran.whole.wait_for(
        lambda: [one for one in ran.whole.supervisor.all("/api/held") if one["id"] == row], 30, vector.name
    )
    codes = frozenset(one["code"] for one in held["findings"])
    judged(vector, Came(answer="", decision="reject" if held["refused"] else "hold", findings=codes))
    assert not [one for one in ran.whole.agent.all("/api/conversations?view=all") if one["inbound"]["id"] == row]
    ran.sweep(vector)


@names(ODD)
def test_odd(vector: Vector, odd: dict[str, Came]) -> None:
    judged(vector, odd[vector.name])


@names([vector for vector in VECTORS if vector.channel == "layer"])
def test_layer(vector: Vector) -> None:
    came = judge(vector)
    assert came.decision == vector.expect, sorted(came.findings)
    assert vector.codes <= came.findings
    if vector.answer:
        assert came.answer.startswith(vector.answer)


@names([vector for vector in PLAIN if vector.channel == "email"])
def test_explain_agrees_with_the_running_gateway(vector: Vector, ran: Ran, explained: dict[str, Explained]) -> None:
    came, told = ran.run.came[vector.name], explained[vector.name]
    assert told.decision == (vector.alone or came.decision), (told, came)
    assert vector.alone or vector.codes <= told.findings, sorted(told.findings)
    if came.row and not vector.alone:
        assert told.findings == came.findings
    if came.agent is None or told.agent is None:
        assert (came.agent is None) == (told.agent is None) or vector.alone
        return
    for one, other in (("author", "from"), ("author_name", "name"), ("subject", "subject"), ("text", "text")):
        assert came.agent[one] == told.agent[other]
    assert came.agent["redactions"] == told.redactions
    ours = ("name", "media_type", "octets", "text", "reason")
    theirs = ("name", "type", "bytes", "text", "withheld")
    attached = [tuple(one[name] for name in ours) for one in came.agent["attachments"]]
    assert attached == [tuple(one[name] for name in theirs) for one in told.agent["attachments"]]


# --- the whole of it


def test_the_audit_holds_and_tells_every_decision(ran: Ran) -> None:
    events = {event for (event,) in ran.whole.rows("SELECT DISTINCT event FROM audit")}
    assert {"message.accepted", "message.queued", "message.held"} <= events
    accepted = ran.whole.rows("SELECT count(*) FROM audit WHERE event = 'message.accepted'")
    assert accepted == [(len(ran.run.accepted),)]
    leaves = [json.loads(leaf) for (leaf,) in ran.whole.rows("SELECT leaf FROM audit WHERE event = 'message.held'")]
    reasons = {leaf["facts"]["object"]: set(leaf["facts"]["codes"]) for leaf in leaves}
    for vector in PLAIN:
        came = ran.run.came[vector.name]
        if vector.channel == "email" and came.row and came.decision != "accept":
            assert vector.codes <= reasons[came.row], vector.name
    verified = subprocess.run(
        [str(Path(sys.executable).parent / "vestibule"), "audit", "verify", "--config", str(ran.whole.file)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_no_canary_lies_anywhere_when_all_is_done(ran: Ran) -> None:
    for vector in VECTORS:
        came = ran.run.came.get(vector.name)
        if came is not None and came.conversation and vector.canaries:
            for reader in (ran.whole.agent, ran.whole.supervisor):
                reader.page(f"/queue/open/{came.conversation}")
    ran.whole.supervisor.page("/held")
    ran.whole.admin.all("/api/audit")
    canaries = [canary for vector in VECTORS for canary in vector.canaries]
    ran.disk.sweep(canaries)
    seen = [text.encode() for vector in VECTORS for text in vector.sees if len(text) >= 12]
    for place, content in ran.disk.places().items():
        assert not [text for text in seen if text in content], f"what agents see lies in {place}"
    audit = repr(ran.whole.rows("SELECT leaf FROM audit")).encode()
    sweep(canaries, {"audit": audit, "log": ran.whole.written()})
    assert len(audit) > 10_000
    numbers = {canary for canary in canaries if not canary.startswith(MARK)}
    stopped = [vector for vector in VECTORS if vector.channel == "reply" and vector.expect != "accept"]
    typed = {canary for vector in stopped for canary in vector.canaries}
    shown = b"\0".join(ran.whole.agent.heard)
    sweep(sorted(numbers - typed), {"the author's pages": shown})  # who typed a number that didn't leave gets it back
    others = b"\0".join([*ran.whole.supervisor.heard, *ran.whole.admin.heard])
    sweep(sorted(numbers | typed), {"others' pages": others})
    assert list(occurrences(["my order 5521 was promised"], shown)), "the sweep would see what is there"


def test_no_message_made_a_part_of_ours_fail(ran: Ran) -> None:
    """Whatever came in was judged; nothing raised, no worker was stopped, nobody was away."""
    wrong = {"role.fault", "sandbox.lost", "sandbox.worker-ended", "keys.unavailable", "store.down", "message.retried"}
    assert not [line for line in ran.whole.log if line["event"] in wrong]
    injected = {ran.rows.get(vector.name) for vector in ROWS}
    assert not [line for line in ran.whole.log if line["event"] == "message.fault" and line["message"] not in injected]


def test_nothing_that_the_gateway_logs_comes_from_elsewhere(ran: Ran) -> None:
    """All loggers are on DEBUG: what libraries say is there, reduced to who said it."""
    loggers = {line["logger"] for line in ran.whole.log if line["event"] == "library"}
    assert {"asyncio"} & loggers or any(name.startswith("sqlalchemy") for name in loggers), loggers
    assert all(set(line) <= {"at", "role", "pid", "event", "logger", "level", "kind", "where"}
               for line in ran.whole.log if line["event"] == "library")  # fmt: skip
    assert not ran.whole.noise


__all__ = ["Gateway"]
