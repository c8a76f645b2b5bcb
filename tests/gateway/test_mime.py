"""MIME structure: exact bytes, what is noted, what is too much."""

from __future__ import annotations

import contextlib
import email
import email.policy
import time
from pathlib import Path

import pytest
from letters import corpus, letter, messages

from gateway import limits
from gateway.mime import Entity, parse
from gateway.opened import Oddity
from gateway.reading import Reading, TooMuch


def read(raw: bytes) -> tuple[Entity, set[Oddity]]:
    reading = Reading()
    return parse(raw, reading, wire=True), set(reading.oddities)


def too_much(raw: bytes) -> str:
    """The reason, found in little time."""
    start = time.process_time()
    with pytest.raises(TooMuch) as caught:
        parse(raw, Reading(), wire=True)
    assert time.process_time() - start < 1
    return caught.value.reason


MIXED = "multipart/mixed; boundary=b"


def test_a_part_knows_its_very_bytes() -> None:
    root, oddities = read(letter("pre\n--b\nX: 1\n\none\n--b\n\ntwo\n\n--b--\n", MIXED))
    assert [child.raw for child in root.children] == [b"X: 1\r\n\r\none", b"\r\ntwo\r\n"]
    assert root.preamble == b"pre\r\n"
    assert not oddities


def test_paths_count_from_one() -> None:
    inner = "Content-Type: multipart/alternative; boundary=i\n\n--i\n\nx\n--i\n\ny\n--i--"
    root, _ = read(letter(f"--b\n{inner}\n--b\nContent-Type: message/rfc822\n\nSubject: s\n\nz\n--b--\n", MIXED))
    assert [node.path for node in root.walk()] == ["1", "1.1", "1.1.1", "1.1.2", "1.2", "1.2.1"]


def test_a_nested_message_in_base64_is_walked() -> None:
    root, _ = read(letter("U3ViamVjdDogcw0KDQpoaQ0K", "message/rfc822", extra="Content-Transfer-Encoding: base64\n"))
    assert root.children[0].data == b"hi\r\n"


def test_parts_of_a_digest_are_messages() -> None:
    root, _ = read(letter("--b\n\nSubject: s\n\nx\n--b--\n", "multipart/digest; boundary=b"))
    assert [node.media_type for node in root.walk()] == ["multipart/digest", "message/rfc822", "text/plain"]


@pytest.mark.parametrize(
    ("raw", "oddity"),
    [
        (letter("x", "text/plain\nContent-Type: text/html"), Oddity.DUPLICATE_CONTENT_HEADER),
        (letter("--b\n\nx\n--b--", "multipart/mixed; boundary=b; boundary=c"), Oddity.DUPLICATE_CONTENT_HEADER),
        (
            letter("x", extra="Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n"),
            Oddity.CONFLICTING_TRANSFER_ENCODING,
        ),
        (letter("x", extra="Content-Transfer-Encoding: rot13\n"), Oddity.UNKNOWN_TRANSFER_ENCODING),
        (letter("eHg", extra="Content-Transfer-Encoding: base64\n"), Oddity.BAD_BASE64),
        (letter("--b\n\nx\n--b--", "multipart/mixed"), Oddity.NO_BOUNDARY),
        (letter("just text", MIXED), Oddity.BOUNDARY_UNUSED),
        (letter("--b\n\nx\n", MIXED), Oddity.BOUNDARY_UNCLOSED),
        (letter("--b\n\nx\n--bb\n\ny\n--b--", MIXED), Oddity.BOUNDARY_CLASH),
        (
            letter("--b\nContent-Type: multipart/mixed; boundary=bc\n\n--bc\n\nx\n--bc--\n--b--", MIXED),
            Oddity.BOUNDARY_CLASH,
        ),
        (letter("--b\n\nx\n--b--\nhidden", MIXED), Oddity.TEXT_AFTER_END),
        (
            letter("LS1iDQoNCngNCi0tYi0tDQo=", MIXED, extra="Content-Transfer-Encoding: base64\n"),
            Oddity.ENCODED_MULTIPART,
        ),
        (letter("x", head="From: a@b.example\nbroken line\nSubject: s\n"), Oddity.HEADER_BODY_GAP),
        (letter("x", extra="Subject: other\n"), Oddity.DUPLICATE_HEADER),
        (letter("x", extra="From: bob@example.net\n"), Oddity.SEVERAL_FROM),
        (letter("x", extra="From : bob@example.net\n"), Oddity.SEVERAL_FROM),
        (letter("x", extra="\0From: bob@example.net\n"), Oddity.SEVERAL_FROM),
        (letter("x", extra="Reply To: a\n"), Oddity.HEADER_BODY_GAP),
        (letter("x", extra="X-Y : a\n"), Oddity.BAD_HEADER),
        (letter("x", "no type"), Oddity.BAD_HEADER),
        (letter("x", extra="X-Long: " + "y" * 9_000 + "\n"), Oddity.LONG_HEADER),
        (letter("x\0y"), Oddity.NUL),
        (letter("x") + b"bare\nline\r\n", Oddity.BARE_NEWLINE),
        (letter("x") + b"bare\rreturn\r\n", Oddity.BARE_NEWLINE),
    ],
)
def test_what_readers_disagree_on_is_noted(raw: bytes, oddity: Oddity) -> None:
    assert oddity in read(raw)[1]


def test_ordinary_mail_has_no_oddities() -> None:
    alternative = "--b\nContent-Type: text/plain\n\nHello\n--b\nContent-Type: text/html\n\n<p>Hello</p>\n--b--\n"
    assert read(letter(alternative, "multipart/alternative; boundary=b"))[1] == set()
    assert read(letter("Hello").replace(b"\r\n", b"\n"))[1] == set()


def test_nothing_is_dropped_from_a_multipart_that_cannot_be_taken_apart() -> None:
    for content in ("multipart/mixed", MIXED):
        root, _ = read(letter("the whole text", content))
        assert root.data == b"the whole text"


def test_an_encoded_multipart_is_opened_all_the_same() -> None:
    root, _ = read(letter("LS1iDQoNCngNCi0tYi0tDQo=", MIXED, extra="Content-Transfer-Encoding: base64\n"))
    assert [child.data for child in root.children] == [b"x"]


# --- too much


def test_ten_thousand_parts_are_too_much() -> None:
    assert too_much(letter("--b\n\nx\n" * 10_000 + "--b--\n", MIXED)) == "parts"


def test_ten_thousand_levels_are_too_much() -> None:
    nested = "".join(f"--b{n}x\nContent-Type: multipart/mixed; boundary=b{n + 1}x\n\n" for n in range(10_000))
    assert too_much(letter(nested, "multipart/mixed; boundary=b0x")) == "depth"


def test_messages_in_messages_without_end_are_too_much() -> None:
    assert too_much(letter("Content-Type: message/rfc822\n\n" * 10_000, "message/rfc822")) == "depth"


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ("From: " + "a," * 100_000 + "\n", "header-block"),
        ("From: " + "a," * 10_000 + "\n", "header"),
        ("Subject: " + "=?utf-8?q?x?= " * 3_000 + "\n", "header"),
        ("Content-Type: " + ";" * 60_000 + "\n", "header"),
        ("Content-Type: text/plain" + "; a*0=b" * 5_000 + "\n", "header"),
        ("X: y\n" * 10_000, "headers"),
        ("X: " + "y" * 1_000_000 + "\n", "header-block"),
        ("X:\n" + " y\n" * 40_000, "header-block"),
    ],
)
def test_hostile_headers_are_refused_before_they_are_read(head: str, reason: str) -> None:
    assert too_much(letter("x", head=head)) == reason


@pytest.mark.parametrize(
    "value",
    [
        b"From: " + b"(" * 8_000,
        b"From: " + b"\\" * 8_000,
        b"From: .fo:",
        b"From: " + b'"' * 8_001,
        b"Message-ID: <",
        b"Content-Type: " + b";" * 8_000,
        b"Content-Type: " + b'"' * 8_000,
        b'Content-Type: text/plain; a="' + b";" * 8_000,
        b"Content-Type: text/plain" + b"; a*0*=b" * 900,
        b"Content-Type: text/plain" + b"; a*999=b" * 800,
        b"Content-Type: text/plain; charset=utf\0-8",
        b"Content-Type: " + b"(" * 8_000,
        b"Content-Type: text/plain" + b"(x" * 3_900,
        b"Content-Disposition: attachment; filename=" + b"%" * 8_000,
        b"Content-Disposition: attachment; filename*=" + b"%" * 8_000,
        b"Content-Disposition: attachment; filename*=utf-8''" + b"%ff" * 2_600,
        b"Subject: " + b"=?utf-8?b?!!!!?=" * 500,
        b"Subject: " + b"=?" * 4_000,
        b"Subject: " + b"=?a?q?" * 1_300,
        b"Subject: =?" + b"x" * 8_000 + b"?q?y?=",
        b"Content-Transfer-Encoding: " + b"(" * 8_000,
    ],
)
def test_the_headers_that_stall_other_parsers_take_no_time(value: bytes) -> None:
    raw = value + b"\r\n\r\nbody\r\n"
    start = time.process_time()
    root, _ = read(raw)
    root.fields.text(b"subject")
    root.text(Reading())
    assert time.process_time() - start < 0.2
    assert root.data == b"body\r\n"


@pytest.mark.parametrize(
    "body",
    [
        "\n".join(["--b"] * 3 + ["--" * 100_000]),
        "--b\n\n" + "--c" * 300_000,
        "--b" + " " * 300_000 + "x\n",
        ("--b" + " " * 900 + "x\n") * 5_000,
        "\n" * 1_000_000,
        "-" * 1_000_000,
    ],
)
def test_bodies_full_of_almost_delimiters_take_no_time(body: str) -> None:
    start = time.process_time()
    with contextlib.suppress(TooMuch):
        read(letter(body, MIXED))
    assert time.process_time() - start < 1


def test_endless_repairs_are_not_made() -> None:
    assert too_much(letter("\n--bb" * 1_000_000, MIXED)) == "boundaries"
    for encoding, line in (("base64", "QQ=="), ("x-uuencode", "begin 644 x\n" + '"zz\n' * 1_000_000)):
        raw = letter(line if "\n" in line else line * 1_000_000, extra=f"Content-Transfer-Encoding: {encoding}\n")
        start = time.process_time()
        root, _ = read(raw)
        assert root.data == raw[root.body :]
        assert time.process_time() - start < 1


def test_a_text_beyond_all_measure_is_not_decoded() -> None:
    root, _ = read(letter("x" * (limits.TEXT_BYTES + 1)))
    with pytest.raises(TooMuch):
        root.text(Reading())


def test_what_unpacks_to_too_much_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UNPACKED_BYTES", 1_000)
    assert too_much(letter("x" * 2_000)) == "unpacked"


# --- other readers

STDLIB_ERRS = {
    "003.eml",  # blanks after an encoding's name
    "012.eml",  # a boundary folded over two lines
    "msg_37.txt", "multipartemptypart.msg", "multipartnestedemptyparts.msg",  # a delimiter right after another
    "multipartnestedemptypartsnorfc822.msg", "multipartdigestnestedemptyparts.msg",
}  # fmt: skip


@pytest.mark.parametrize("name", ["mime-cpython", "mime-dovecot", "mime-mime4j", "mime-stalwart-rfc", "pgp-kde-a"])
def test_the_stdlib_sees_the_same_leaves_where_there_is_no_oddity(name: str) -> None:
    compared = 0
    for path in messages(name):
        raw = path.read_bytes()
        root, oddities = read(raw)
        if oddities - {Oddity.TEXT_AFTER_END, Oddity.BARE_NEWLINE, Oddity.LONG_HEADER}:
            continue
        theirs = [
            (part.get_content_type(), part.get_payload(decode=True))
            for part in email.message_from_bytes(raw, policy=email.policy.compat32).walk()
            if not part.is_multipart() and part.get_content_maintype() != "message"
        ]
        ours = [
            (node.media_type, node.data)
            for node in root.walk()
            if not node.children and not node.media_type.startswith("message/")
        ]
        if path.name in STDLIB_ERRS or any(_is_special(node) for node in root.walk()):
            continue
        assert [kind for kind, _ in ours] == [kind for kind, _ in theirs], path.name
        assert [_ends(data) for _, data in ours] == [_ends(data or b"") for _, data in theirs], path.name
        compared += 1
    assert compared >= 5


def _is_special(node: Entity) -> bool:
    """What the stdlib takes for a message though it is none, or doesn't decode."""
    if node.encoding.startswith("x-"):
        return True
    nested = node.media_type == "message/rfc822"
    return node.media_type.startswith("message/") and (not nested or node.encoding == "base64")


def _ends(data: bytes) -> bytes:
    """Line ends alone may differ: the stdlib makes of LF what its generator would."""
    return data.replace(b"\r\n", b"\n").rstrip(b"\n")


def test_mime4js_leaves_are_there_or_the_reason_is() -> None:
    for path in messages("mime-mime4j"):
        root, oddities = read(path.read_bytes())
        leaves = {node.data for node in root.walk()}
        for wanted in _decoded(path):
            assert wanted.read_bytes() in leaves or oddities & {
                Oddity.BOUNDARY_CLASH, Oddity.HEADER_BODY_GAP, Oddity.BOUNDARY_UNUSED,
            }, wanted.name  # fmt: skip


def _decoded(path: Path) -> list[Path]:
    return sorted(corpus("mime-mime4j").glob(f"{path.stem}_decoded_*"))
