"""Decoding a leaf's bytes: transfer encodings (RFC 2045, uuencode) and charsets.

Rules:
1. Total and linear: anything decodes to something; what was wrong with it is an oddity beside it.
2. Only real charsets: the codec registry also holds compressors, ciphers and quadratic ones (`punycode`).
3. A charset that lies is read as what the bytes are (UTF-8, else Windows-1252), as browsers do.
"""

from __future__ import annotations

import binascii
import codecs
import functools
import io
import re
from typing import Final

from gateway import limits
from gateway.opened import Oddity

IDENTITY: Final = frozenset({"", "7bit", "8bit", "binary"})
_BLANK: Final = b" \t\r\n\x0b\x0c"
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_SOUND_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]*+={0,2}")
_NOT_BASE64: Final = re.compile(rb"[^A-Za-z0-9+/=]+")
_NOT_BASE64_OR_BLANK: Final = re.compile(rb"[^A-Za-z0-9+/=\s]")


def octets(body: bytes, encoding: str) -> tuple[bytes, Oddity | None]:
    """What a body says, by its Content-Transfer-Encoding (lower-case)."""
    if encoding in IDENTITY:
        return body, None
    if encoding == "base64":
        data, clean = base64_octets(body)
        return data, None if clean else Oddity.BAD_BASE64
    if encoding == "quoted-printable":
        return quoted_printable(body), None
    if encoding in ("x-uuencode", "uuencode", "x-uue"):
        return _uuencoded(body), None
    return body, Oddity.UNKNOWN_TRANSFER_ENCODING


def base64_octets(body: bytes) -> tuple[bytes, bool]:
    """The bytes, and whether it was sound base64. Foreign characters are skipped, but where every tenth is foreign,
    the body is something else and stays as it is; text that was encoded in several runs, each with its own padding,
    is decoded run by run."""
    packed = body.translate(None, _BLANK)
    if len(packed) % 4 == 0 and _SOUND_BASE64.fullmatch(packed):
        return binascii.a2b_base64(packed), True
    clean = _NOT_BASE64_OR_BLANK.search(body) is None
    packed = _NOT_BASE64.sub(b"", body)
    if not clean and (len(body) - len(body.translate(None, _ALPHABET)) < len(body.translate(None, _BLANK)) * 9 // 10):
        return body, False
    end = packed.find(b"=")
    if end < 0 or not packed[end:].strip(b"="):
        return _run(packed.rstrip(b"=")), False
    runs = re.split(rb"=+", packed, maxsplit=limits.RUNS)
    return (b"".join(map(_run, runs)) if len(runs) <= limits.RUNS else body), False


def _run(packed: bytes) -> bytes:
    """Unpadded base64. A last single character carries less than a byte and is dropped."""
    packed = packed[: len(packed) - 1] if len(packed) % 4 == 1 else packed
    return binascii.a2b_base64(packed + b"=" * (-len(packed) % 4))


def quoted_printable(body: bytes) -> bytes:
    return binascii.a2b_qp(body)


def _uuencoded(body: bytes) -> bytes:
    """The first block between `begin` and `end`; bad lines are skipped."""
    out, inside, bad = bytearray(), False, 0
    for line in io.BytesIO(body):
        if bad > limits.RUNS:
            return body
        if not inside:
            inside = line.startswith(b"begin ")
        elif line.strip() in (b"end", b"`", b""):
            if line.strip() == b"end":
                break
        else:
            try:
                out += binascii.a2b_uu(line.rstrip(b"\r\n"))
            except binascii.Error:
                bad += 1
                want = ((line[0] - 32 & 63) * 4 + 5) // 3
                try:
                    out += binascii.a2b_uu(line[:want])
                except binascii.Error:
                    continue
    return bytes(out) if inside else body


# --- charsets

_CHARSETS: Final = frozenset({
    "ascii", "utf-8", "utf-7", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "iso8859-1",
    *(f"iso8859-{number}" for number in (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16)),
    *(f"cp{number}" for number in (
        437, 720, 737, 775, 850, 852, 855, 856, 857, 858, 860, 861, 862, 863, 864, 865, 866, 869, 874, 932, 949, 950,
        1125, 1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258)),
    "koi8-r", "koi8-u", "koi8-t", "kz1048", "ptcp154", "tis-620",
    "big5", "big5hkscs", "gb2312", "gbk", "gb18030", "hz", "euc_jp", "euc_kr", "euc_jis_2004", "euc_jisx0213", "johab",
    "iso2022_jp", "iso2022_jp_1", "iso2022_jp_2", "iso2022_jp_3", "iso2022_jp_2004", "iso2022_jp_ext", "iso2022_kr",
    "shift_jis", "shift_jis_2004", "shift_jisx0213",
    "mac-roman", "mac-cyrillic", "mac-greek", "mac-iceland", "mac-latin2", "mac-turkish", "mac-croatian",
    "mac-romanian",
})  # fmt: skip
_ALIASES: Final = {"iso8859-1": "cp1252", "ascii": "", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932",
                   "euc_kr": "cp949", "iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874"}  # fmt: skip
"""Supersets that programs mean when they name the smaller one (WHATWG Encoding, section 4.2)."""
_SPELLED: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:+-]{0,39}")
_DECLARED: Final = re.compile(rb"<meta[^>]{0,200}charset\s{0,9}=\s{0,9}[\"']?([A-Za-z0-9_:.+-]{1,40})", re.IGNORECASE)
_CONTROLS: Final = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ufeff\ufffe]")
_NEWLINES: Final = re.compile("\r\n|[\r\x0c\u2028\u2029]")


@functools.lru_cache(256)
def codec(charset: str) -> str | None:
    """The codec's name for a charset; "" for ASCII or none, which is to be guessed; None for an unknown one."""
    name = charset.strip(" \"'").lower()
    if name in ("", "us-ascii", "ascii", "unknown-8bit", "x-unknown", "8bit", "default", "utf8mb4", "utf-8;"):
        return "utf-8" if name.startswith("utf") else ""
    if _SPELLED.fullmatch(name) is None:
        return None
    for spelling in (name, name.removeprefix("x-"), name.replace("windows-", "cp").replace("x-cp", "cp")):
        try:
            found = codecs.lookup(spelling).name
        except (LookupError, ValueError):
            continue
        if found in _CHARSETS or found.replace("_", "-") in _CHARSETS:
            return _ALIASES.get(found, found)
    return None


def text_of(data: bytes, charset: str) -> tuple[str, Oddity | None]:
    """Text by a charset that may lie. Never fails."""
    name = codec(charset)
    oddity = Oddity.UNKNOWN_CHARSET if name is None else None
    if name:
        try:
            return data.decode(name), oddity
        except (UnicodeError, ValueError):
            if name == "cp1252":
                return data.decode("latin-1") if _is_latin(data) else data.decode("cp1252", "replace"), None
            oddity = Oddity.UNDECODABLE_TEXT
            if name.startswith(("utf-16", "utf-32", "iso2022", "hz", "utf-7")):
                return data.decode(name, "replace"), oddity
    try:
        return data.decode("utf-8"), oddity
    except UnicodeDecodeError:
        if name and name != "utf-8":
            return data.decode(name, "replace"), oddity
        if name == "utf-8" and _mostly_utf8(data):
            return data.decode("utf-8", "replace"), oddity
        return data.decode("cp1252", "replace"), oddity or Oddity.UNDECODABLE_TEXT


def declared_charset(html: bytes) -> str:
    """What a document says of itself, when its header doesn't say it (HTML, section 13.2.3.2)."""
    found = _DECLARED.search(html[:2_048])
    return found[1].decode("ascii") if found else ""


def _is_latin(data: bytes) -> bool:
    return any(byte in data for byte in b"\x81\x8d\x8f\x90\x9d")


def _mostly_utf8(data: bytes) -> bool:
    """As many sound multi-byte letters as broken ones: damaged UTF-8 rather than another charset."""
    letters = [letter for letter in data.decode("utf-8", "replace") if letter > "\x7f"]
    return letters.count("\ufffd") * 2 <= len(letters)


def unflow(text: str, *, delete_space: bool) -> str:
    """RFC 3676's soft line breaks taken out: a line that ends in a blank goes on in the next one of its quote depth."""
    lines: list[list[str]] = []
    depth_before, soft = -1, False
    for line in text.split("\n"):
        bare = line.lstrip(">")
        depth = len(line) - len(bare)
        bare = bare.removeprefix(" ")
        signature = bare == "-- "
        if not (soft and depth == depth_before and not signature):
            lines.append([f"{'>' * depth} "] if depth else [])
        elif delete_space:
            lines[-1][-1] = lines[-1][-1][:-1]
        lines[-1].append(bare)
        depth_before, soft = depth, bare.endswith(" ") and not signature
    return "\n".join(map("".join, lines))


def tidy(text: str) -> tuple[str, bool]:
    """Line breaks as "\\n", no control characters but tabs; and whether there were any."""
    text = _NEWLINES.sub("\n", text)
    clean = _CONTROLS.sub("", text)
    return clean, len(clean) != len(text)
