"""Two versions of one text (multipart/alternative): which is which, and whether they say the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from gateway.mime import Entity

_ADDRESS: Final = re.compile(r"\[→ [^\]]*\]|\[image: [^\]]*\]|(?:https?://|www\.|mailto:)\S+")
_WORD: Final = re.compile(r"\w{2,30}")
_FEW: Final = 5


def face_leaf(entity: Entity) -> Entity:
    """The leaf that a part shows first: itself, or the first of a multipart."""
    while entity.is_multipart:
        entity = entity.children[0]
    return entity


def face(entity: Entity) -> str:
    leaf = face_leaf(entity)
    return "" if leaf.is_attached else leaf.media_type


def formatted_leaves(entity: Entity) -> Iterator[Entity]:
    """The HTML of a formatted version: some programs cut it into several leaves around attachments."""
    for leaf in entity.walk():
        if leaf.media_type == "text/html" and not leaf.children and not leaf.is_attached:
            yield leaf


def differ(plain: str, formatted: str) -> bool:
    """Whether one says much that the other doesn't: less than half of its words are in the other. Addresses of links
    don't count: the plain version spells them out."""
    one, other = _words(plain), _words(formatted)
    shared = len(one & other)
    if len(one) < _FEW and len(other) < _FEW:
        return bool(one) and bool(other) and not shared
    return any(len(words) >= _FEW and shared * 2 < len(words) for words in (one, other))


def _words(text: str) -> set[str]:
    return set(_WORD.findall(_ADDRESS.sub(" ", text[:200_000].lower())))
