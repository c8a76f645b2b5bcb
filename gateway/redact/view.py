"""View: a text as recognizers read it, and where each of its characters stands in the original.

Rules:
1. Detection reads `folded`; masking happens on the original. Nobody ever shows a folded text.
2. The map is exact: a span of the view is the shortest piece of the original that folds to it, with the invisible
   characters that follow its characters.
3. A text in which nothing is to be folded, as nearly all are, is its own view and has no map.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

from gateway.redact.folding import TABLE, even, needed, runs
from gateway.redact.labels import Labels

T = TypeVar("T")


class View:
    """`folded` is read by recognizers; `origin(start, end)` leads back."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._done: dict[Callable[[View], Any], Any] = {}
        self._at: list[int] = []
        self._from: list[int] = []
        self.folded = self._fold(text) if needed(text) else text

    def _fold(self, text: str) -> str:
        pieces: list[str] = []
        at, last = 0, 0

        def piece(folded: str, start: int) -> None:
            nonlocal at
            self._at.append(at)
            self._from.append(start)
            pieces.append(folded)
            at += len(folded)

        for match in runs(text):
            start, end = match.span()
            if start > last:
                piece(text[last:start], last)
            run = match[0]
            if even(run):
                piece(run.translate(TABLE), start)
            else:
                for index, char in enumerate(run, start):
                    for folded in TABLE[ord(char)]:
                        piece(folded, index)
            last = end
        piece(text[last:], last)
        return "".join(pieces)

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Where `folded[start:end]`, which isn't empty, stands in the original.

        >>> view = View("a\\u00ad\\u2460\\u246b.")   # soft hyphen, circled one, circled twelve
        >>> view.folded
        'a112.'
        >>> view.origin(1, 2), view.origin(2, 3), view.origin(2, 4)
        ((2, 3), (3, 4), (3, 4))
        """
        if not self._at:
            return start, end
        first, last = self._place(start), self._place(end - 1)
        after = self._place(end) if end < len(self.folded) else len(self.text)
        return first, after if after > last else last + 1

    def _place(self, index: int) -> int:
        piece = bisect_right(self._at, index) - 1
        return self._from[piece] + index - self._at[piece]

    def once(self, step: Callable[[View], T]) -> T:
        """What `step` makes of this view; done once."""
        if step not in self._done:
            self._done[step] = step(self)
        result: T = self._done[step]
        return result

    @cached_property
    def labels(self) -> Labels:
        """The words that say what a number is."""
        return Labels(self.folded)


Text = str | View


def view_of(text: Text) -> View:
    """What each recognizer begins with; a text that several read is folded once."""
    return text if isinstance(text, View) else View(text)
