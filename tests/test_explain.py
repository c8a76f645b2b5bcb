"""`vestibule explain`: whatever the file is, a decision, in time and within memory; third-party suites judged by what
it says; options that make no sense are one clear line. (That it agrees with the running gateway: `test_vectors`.)"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import yaml
from selectolax.lexbor import LexborHTMLParser
from testdata import email_suite
from vector_explain import Explained, read
from vector_letters import dkim_key

from channels.email.dkim_sign import Signer
from gateway.errors import ConfigError
from gateway.explain_run import Asked, Explainer

BARE = Asked(client_ip="192.0.2.66", helo="", mail_from=None, rcpt=(), tls="TLSv1.3", dns=None, at=None)
SECONDS, BYTES = 5.0, 512 * 1024 * 1024
VESTIBULE = [str(Path(sys.executable).parent / "vestibule")]


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture(scope="module")
def explain(
    loop: asyncio.AbstractEventLoop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Explained]]:
    """One zygote and one key process for all."""
    folder = tmp_path_factory.mktemp("zones")
    files: dict[str, Path] = {}

    def zone(names: object) -> Path:
        text = json.dumps(names, default=str)
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        if key not in files:
            files[key] = folder / f"{key}.json"
            files[key].write_text(text)
        return files[key]

    async def opened() -> Explainer:
        return await Explainer(replace(BARE, dns=zone({})), None).__aenter__()

    explainer = loop.run_until_complete(opened())

    def one(content: bytes, names: object = None, **how: Any) -> Explained:
        asked = replace(BARE, dns=zone(names or {}), **how)
        return read(loop.run_until_complete(explainer.explain("x", content, asked)))

    yield one
    loop.run_until_complete(explainer.__aexit__(None, None, None))


# --- every file there is, by the command itself

MEASURED = """
import json, resource, subprocess, sys, time
run = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
last = time.monotonic()
for line in run.stdout:
    now = time.monotonic()
    sys.stdout.write(json.dumps([now - last, line]) + "\\n")
    last = now
errors = run.stderr.read()
status = run.wait()
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
sys.stdout.write(json.dumps(["end", status, peak, errors]) + "\\n")
"""


def measured(files: list[Path], *options: str) -> tuple[list[tuple[float, dict[str, Any]]], int, int, str]:
    """Of each file, how long its line took and what it says; exit status, peak memory of any process, errors."""
    run = subprocess.run(
        [sys.executable, "-c", MEASURED, *VESTIBULE, "explain", "--json", *options, *map(str, files)],
        capture_output=True, text=True, timeout=400, check=True,
    )  # fmt: skip
    *lines, end = [json.loads(line) for line in run.stdout.splitlines()]
    return [(seconds, json.loads(line)) for seconds, line in lines], end[1], end[2], end[3]


@pytest.mark.timeout(420)
def test_every_file_of_the_test_data_gets_a_decision_in_time_and_within_memory(tmp_path: Path) -> None:
    folder = email_suite("mime-cpython").parent
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert len(files) > 400
    (tmp_path / "zone.json").write_text("{}")
    told, status, peak, errors = measured(files, "--dns", str(tmp_path / "zone.json"), "--client-ip", "192.0.2.66")
    assert (status, errors) == (0, "")
    assert [one["file"] for _, one in told] == [str(path) for path in files]
    assert {one["decision"] for _, one in told} <= {"accept", "hold", "defer", "reject"}
    faults = [
        one["file"] for _, one in told for found in one["findings"] if found["code"].startswith(("gateway.", "check."))
    ]
    assert not faults
    assert all((one["decision"] == "accept") == (one["agent"] is not None) for _, one in told)
    assert peak <= BYTES, f"{peak // 1_048_576} MiB"
    slow = [(seconds, one["file"]) for seconds, one in told[1:] if seconds > SECONDS]
    assert not slow, slow
    first = told[0][0]  # with starting Python, zygote and key process
    assert first < 4 * SECONDS


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "one line end": b"\n",
    "binary": bytes(range(256)) * 64,
    "zero octets": b"\0" * 4_096,
    "only headers": b"From: alice@example.org\nSubject: x\n",
    "no header": b"\nhello\n",
    "an mbox with one": b"From a@example.org Wed Nov 25 09:00:00 2026\nFrom: a@example.org\nSubject: x\n\n>From here\n",
    "mixed line ends": b"From: alice@example.org\r\nSubject: x\n\nhello\r",
    "an endless line": b"x" * 1_000_000,
    "a header without end": b"From: " + b"a" * 1_000_000,
    "25 MB": b"From: alice@example.org\n\n" + b"0123456789 abcdefghijklmnopqrstuvwxyz\n" * 680_000,
    "26 MB": b"From: alice@example.org\n\n" + b"0123456789 abcdefghijklmnopqrstuvwxyz\n" * 740_000,
    "25 MB of base64": b"From: alice@example.org\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\n\n"
    + (b"QUFB" * 19 + b"\n") * 330_000,
    "20 MB of parts": b"From: alice@example.org\nContent-Type: multipart/mixed; boundary=b\n\n"
    + b"--b\n\nx\n" * 2_500_000,
    "UTF-16": "From: alice@example.org\n\nhello\n".encode("utf-16"),
    "an archive": b"PK\x03\x04" + os.urandom(10_000),
    "a picture": b"\x89PNG\r\n\x1a\n" + os.urandom(10_000),
    "escape sequences": b"From: alice@example.org\nSubject: \x1b]0;owned\x07\n\n\x1b[2J\n",
    "a lone boundary": b"Content-Type: multipart/mixed; boundary=\n\n--\n",
    "a PGP message that is none": b"From: a@example.org\n\n-----BEGIN PGP MESSAGE-----\n\n"
    + b"A" * 500_000
    + b"\n-----END PGP MESSAGE-----\n",
}


@pytest.mark.timeout(300)
def test_hostile_files_get_a_decision_and_never_a_traceback(tmp_path: Path) -> None:
    files = []
    for number, (name, content) in enumerate(HOSTILE.items()):
        files.append(tmp_path / f"{number:02} {name}.eml")
        files[-1].write_bytes(content)
    (tmp_path / "zone.json").write_text("{}")
    told, status, peak, errors = measured(files, "--dns", str(tmp_path / "zone.json"))
    assert (status, errors) == (0, "")
    assert len(told) == len(files)
    decided = {Path(one["file"]).stem[3:]: one["decision"] for _, one in told}
    assert decided["empty"] == "reject"
    assert decided["an mbox with one"] == "accept"
    assert decided["26 MB"] == "reject"
    assert decided["binary"] == "reject"
    assert decided["20 MB of parts"] == "hold"
    assert not [
        one["file"]
        for _, one in told
        for found in one["findings"]
        if found["code"] in ("gateway.fault", "check.failed")
    ]
    assert peak <= BYTES, f"{peak // 1_048_576} MiB"
    assert not [(seconds, one["file"]) for seconds, one in told[1:] if seconds > SECONDS]
    assert not [one for _, one in told if "\x1b" in json.dumps(one["agent"], ensure_ascii=False)]


def test_the_peak_that_is_measured_is_that_of_any_process() -> None:
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'bytearray(600_000_000)'], check=True)"
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    subprocess.run([sys.executable, "-c", program], check=True)
    assert max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024 > BYTES


# --- options

MAIL = b"From: Alice <alice@example.org>\r\nTo: support@acme.example\r\nSubject: x\r\n\r\nhello\r\n"


def command(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "mail.eml").write_bytes(MAIL)
    return subprocess.run(
        [*VESTIBULE, "explain", *arguments, str(folder / "mail.eml")], capture_output=True, text=True, timeout=120,
        cwd=folder, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tls", "1.1"], ["--tls", "yes"], ["--at", "yesterday"], ["--at", "2026-11-25T10:00:00"],
        ["--dns", "no-such-file"], ["--mail-from", "nobody at all"], ["--rcpt", "support"],
        ["--config", "missing.toml"], ["--certificate", "missing.asc"], ["no-such-file.eml"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_an_option_that_makes_no_sense_is_one_clear_line(arguments: list[str], tmp_path: Path) -> None:
    run = command(*arguments, folder=tmp_path)
    assert run.returncode == 2
    assert run.stdout == ""
    assert "Traceback" not in run.stderr
    assert len(run.stderr.strip().splitlines()) <= 2
    assert arguments[0] in run.stderr or arguments[-1] in run.stderr


def test_zone_data_that_is_none_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "zone.yaml").write_text("- just\n- a list\n")
    run = command("--dns", "zone.yaml", folder=tmp_path)
    assert (run.returncode, run.stdout) == (2, "")
    assert "--dns" in run.stderr


def test_the_options_say_how_a_message_comes(explain: Callable[..., Explained]) -> None:
    names = {
        "example.org": [{"TXT": "v=spf1 ip4:192.0.2.1 -all"}],
        "_dmarc.example.org": [{"TXT": "v=DMARC1; p=reject"}],
    }
    good = explain(MAIL, names, client_ip="192.0.2.1", mail_from="alice@example.org")
    assert (good.decision, good.told["authentication"]["spf"], good.told["authentication"]["dmarc"]) == (
        "accept",
        "pass",
        "pass",
    )
    forged = explain(MAIL, names, client_ip="192.0.2.9", mail_from="alice@example.org")
    assert (forged.decision, "auth.dmarc-reject" in forged.findings) == ("hold", True)
    bounce = explain(MAIL, names, client_ip="192.0.2.1", helo="example.org", mail_from="<>")
    assert bounce.told["authentication"]["spf_domain"] == "example.org"
    clear = explain(MAIL, names, tls=None)
    assert "tls.clear" in clear.findings
    assert clear.told["protection"]["tls"] == "none"
    six = explain(
        MAIL,
        {"example.org": [{"TXT": "v=spf1 ip6:2001:db8::/32 -all"}]},
        client_ip="2001:db8::1",
        mail_from="a@example.org",
    )
    assert six.told["authentication"]["spf"] == "pass"


def test_a_time_makes_what_was_valid_then_valid(tmp_path: Path) -> None:
    signer = Signer("example.org", "s", dkim_key())
    stamped = signer.sign(MAIL, now=1_700_000_000).replace(b"; t=1700000000", b"; t=1700000000", 1)
    (tmp_path / "zone.json").write_text(json.dumps({"s._domainkey.example.org": [{"TXT": signer.record()}]}))
    (tmp_path / "signed.eml").write_bytes(stamped + MAIL)
    said = {}
    for at in ("2023-11-14T22:00:00Z", "2023-11-15T00:00:00Z"):
        run = subprocess.run(
            [*VESTIBULE, "explain", "--json", "--dns", "zone.json", "--at", at, "signed.eml"], cwd=tmp_path,
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        said[at] = json.loads(run.stdout)["authentication"]["dkim"]
    assert said["2023-11-15T00:00:00Z"] == "pass"


# --- third-party suites, judged as their SOURCE.txt says


def test_openspfs_suite(explain: Callable[..., Explained]) -> None:
    wrong, refused = [], []
    file = email_suite("spf-rfc7208-a") / "rfc7208-tests.yml"
    for document in yaml.safe_load_all(file.read_text("utf-8")):
        for name, case in document["tests"].items():
            mail = f"From: <x@unrelated.example>\r\nSubject: x\r\n\r\n{name}\r\n".encode()
            try:
                found = explain(
                    mail, {"zonedata": document["zonedata"]}, client_ip=case["host"], helo=case["helo"],
                    mail_from=case["mailfrom"],
                )  # fmt: skip
            except ConfigError:
                refused.append((name, case["mailfrom"]))
                continue
            said = found.told["authentication"]
            wanted = case["result"] if isinstance(case["result"], list) else [case["result"]]
            explained = (said["spf_explanation"] or "DEFAULT") == case.get(
                "explanation", said["spf_explanation"] or "DEFAULT"
            )
            if said["spf"] not in wanted or not explained:
                wrong.append((name, said["spf"], wanted))
    assert not wrong
    assert all(not re.fullmatch(r"[\w.+-]+@[\w.-]+", address) for _, address in refused), refused


def test_arcs_suite(explain: Callable[..., Explained]) -> None:
    wrong, cases = [], 0
    file = email_suite("arc-validation-a") / "arc-validation-tests.yml"
    for document in yaml.safe_load_all(file.read_text("utf-8")):
        for name, case in document["tests"].items():
            content = (case["message"] or "").encode()
            wanted = case["cv"].strip().lower()
            for form in (content, content.replace(b"\n", b"\r\n")):
                said = explain(form, {"txt-records": document["txt-records"]}).told["authentication"]["arc"]
                cases += 1
                if said != wanted and not (wanted == "" and said in ("fail", "none")):
                    wrong.append((name, said, wanted))
    assert cases > 150
    assert not wrong


def test_dkims_vectors(explain: Callable[..., Explained]) -> None:
    for path in sorted(email_suite("dkim-vectors").glob("0*.txt")):
        head, _, message = path.read_bytes().partition(b"\n\n")
        names = {}
        for line in head.decode().splitlines():
            name, _, record = line.partition(" ")
            names[name.rstrip(".")] = [{"TXT": record}]
        found = explain(message, names)
        results = [(one["result"], one["reason"]) for one in found.told["authentication"]["dkim_signatures"]]
        assert results, path.name
        assert all(result == "pass" or "expired" in reason for result, reason in results), (path.name, results)


def test_espoofers_cases(explain: Callable[..., Explained]) -> None:
    signer = Signer("x.example", "x", dkim_key())
    names = {
        "legitimate.com": [{"TXT": "v=spf1 -all"}], "_dmarc.legitimate.com": [{"TXT": "v=DMARC1; p=reject"}],
        "example.com": [{"TXT": "v=spf1 -all"}], "_dmarc.example.com": [{"TXT": "v=DMARC1; p=reject"}],
        "attack.com": [{"TXT": "v=spf1 ip4:192.0.2.66 -all"}],
        "selector._domainkey.attack.com": [{"TXT": signer.record()}],
    }  # fmt: skip
    passed = []
    cases = json.loads((email_suite("spoof-espoofer-a") / "cases.json").read_text())
    for case in cases:
        mail = case["message_latin1"].encode("latin-1")
        if case["dkim"]:
            mail = signed_by_the_attacker(mail, signer, **case["dkim"]) + mail
        try:
            found = explain(mail, names, helo=case["helo"], mail_from=case["mail_from"])
        except ConfigError:
            found = explain(mail, names, helo=case["helo"], mail_from="<>")  # no session would take it
        said = found.told["authentication"]
        if said["dmarc"] == "pass" or found.decision == "accept":
            passed.append((case["id"], said["dmarc"], found.decision))
    assert len(cases) == 8
    assert not passed


def signed_by_the_attacker(mail: bytes, signer: Signer, d: str, s: str, sign_header: str) -> bytes:
    """A signature over one From alone, with whatever d= and s=."""
    body_hash = base64.b64encode(hashlib.sha256(mail.partition(b"\r\n\r\n")[2]).digest()).decode()
    value = f"v=1; a=rsa-sha256; c=relaxed/simple; d={d}; s={s}; h=from; bh={body_hash}; b="
    name, _, content = sign_header.partition(":")
    data = f"{name.lower()}:{content.strip()}\r\ndkim-signature:{value}".encode("latin-1")
    return f"DKIM-Signature: {value}{base64.b64encode(signer.signature(data)).decode()}\r\n".encode("latin-1")


def test_dompurifys_payloads_leave_no_markup(explain: Callable[..., Explained]) -> None:
    """A mail gateway is stricter than a browser's sanitizer: an agent gets text, in which nothing is an element."""
    cases = json.loads((email_suite("html-dompurify-a") / "cases.json").read_text())
    bad = []
    for number, case in enumerate(cases):
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "mallory@example.com", "support@acme.example", "x"
        mail.set_content(case["payload"], subtype="html", cte="base64")
        found = explain(mail.as_bytes())
        if found.agent is None:
            bad += [] if found.findings else [number]
            continue
        text = found.agent["text"]
        tree = LexborHTMLParser(text)
        elements = {node.tag for node in tree.root.traverse(include_text=False)} if tree.root else set()
        if elements - {"html", "head", "body"} or re.search(
            r"(?i)\b(?:java|vb)script:", re.sub(r"[\s\x00-\x1f]", "", text)
        ):
            bad.append(number)
    assert not bad, [(number, cases[number]["title"]) for number in bad]


def test_kdes_broken_and_ambiguous_messages_are_never_verified_or_decrypted(explain: Callable[..., Explained]) -> None:
    for path in sorted(email_suite("pgp-kde-a").glob("*.mbox")):
        found = explain(path.read_bytes())
        signatures = found.told["protection"]["signatures"]
        assert not [one for one in signatures if one["status"] == "verified"], path.name
        if re.search(r"error|broken|ambiguous|nodata", path.name, re.IGNORECASE):
            assert not [part for part in found.told["parts"] if part["encrypted"] and part["shown"]], path.name
        if "encrypted" in path.name and "ambiguous" not in path.name:
            assert found.told["protection"]["encrypted"] != "none", path.name
            assert found.decision == "hold", path.name


def test_thunderbirds_signatures_are_never_reported_good(explain: Callable[..., Explained]) -> None:
    """S/MIME signatures aren't verified yet, so none may be shown as good; encrypted ones are known for such."""
    folder = email_suite("smime-thunderbird-a")
    for name, wanted in json.loads((folder / "expected.json").read_text()).items():
        found = explain((folder / name).read_bytes())
        assert not [one for one in found.told["protection"]["signatures"] if one["status"] == "verified"], name
        assert wanted["enc"] or found.told["protection"]["encrypted"] == "none" or found.decision == "hold", name


def test_autocrypts_example_opens_with_bobs_key_and_gossip_proves_nothing(
    loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    folder = email_suite("pgp-autocrypt")
    (tmp_path / "zone.json").write_text("{}")
    key = (folder / "bob@autocrypt.example.sec.asc").read_bytes()

    async def run() -> Explained:
        async with Explainer(replace(BARE, keys=(key,), dns=tmp_path / "zone.json"), None) as explainer:
            return read(await explainer.explain("x", (folder / "example-gossip.eml").read_bytes()))

    found = loop.run_until_complete(run())
    assert found.told["protection"]["encrypted"] == "full"
    assert found.agent is not None
    assert found.agent["text"].startswith("Hi Bob and Carol,")
    assert not [one for one in found.told["protection"]["signatures"] if one["status"] == "verified"]


def leaves(tree: dict[str, Any]) -> Iterator[bytes]:
    """The contents of the leaf parts that stalwart's parser sees."""
    for part in tree["parts"]:
        kind, content = next(iter(part["body"].items())) if isinstance(part["body"], dict) else ("", None)
        if kind in ("Text", "Html"):
            yield content.encode()
        elif kind in ("Binary", "InlineBinary"):
            yield bytes(content)
        elif kind == "Message":
            yield from leaves(content)


def scanned(leaf: bytes, found: Explained) -> bool:
    """Whether a leaf that another parser sees is among ours: by SHA-256 of its octets, up to line ends and, for a text,
    the charset that it was decoded from; or else all of its words are shown."""
    parts = found.told["parts"]
    seen = {part["sha256"] for part in parts}
    forms = {leaf}
    for charset in {part["charset"] for part in parts} - {""}:
        try:
            forms.add(leaf.decode().encode(charset))
        except (UnicodeError, LookupError):
            continue
    forms |= {form.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for form in forms}
    forms |= {form.rstrip(b"\r\n") for form in forms}
    if not leaf.strip() or any(hashlib.sha256(form).hexdigest() in seen for form in forms):
        return True
    return squeezed(json.dumps(leaf.decode("utf-8", "replace"), ensure_ascii=False)) in squeezed(
        json.dumps(found.agent, ensure_ascii=False)
    )


@pytest.mark.parametrize("suite", ["mime-stalwart-rfc", "mime-dovecot"])
def test_every_leaf_of_stalwarts_trees_is_scanned_or_the_message_is_held(
    suite: str, explain: Callable[..., Explained]
) -> None:
    missing, looked = [], 0
    for path in sorted(email_suite(suite).glob("*.eml")):
        found = explain(path.read_bytes())
        if found.decision != "accept":
            assert found.findings, path.name
            continue
        for number, leaf in enumerate(leaves(json.loads(path.with_suffix(".json").read_text()))):
            looked += 1
            missing += [] if scanned(leaf, found) else [(path.name, number)]
    assert looked > 10
    assert not missing


def test_every_leaf_of_mime4js_trees_is_scanned_or_the_message_is_held(explain: Callable[..., Explained]) -> None:
    missing, looked = [], 0
    folder = email_suite("mime-mime4j")
    for path in sorted(folder.glob("*.msg")):
        found = explain(path.read_bytes())
        if found.decision != "accept":
            assert found.findings, path.name
            continue
        for leaf in sorted([*folder.glob(f"{path.stem}_decoded_*.txt"), *folder.glob(f"{path.stem}_decoded_*.bin")]):
            looked += 1
            missing += [] if scanned(leaf.read_bytes(), found) else [leaf.name]
    assert looked > 10
    assert not missing


def squeezed(text: str) -> str:
    return re.sub(r"\\[rnt]|\s|\"", "", text)


def test_no_message_of_the_mime_suites_raises(explain: Callable[..., Explained]) -> None:
    for suite in ("mime-cpython", "mime-dovecot", "mime-mime4j", "mime-stalwart-rfc"):
        for path in sorted(email_suite(suite).iterdir()):
            if path.suffix in (".eml", ".msg", ".txt") and "SOURCE" not in path.name:
                found = explain(path.read_bytes())
                assert not {"gateway.fault", "gateway.limit", "check.failed"} & found.findings, path.name
