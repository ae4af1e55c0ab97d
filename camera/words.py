"""Short lists of words that programs exchange, each with its meaning: help, schemas and errors are made from them."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Word(StrEnum):
    """A word out of a list. It travels as the plain word; `meaning` says in a few words what it stands for."""

    meaning: str

    def __new__(cls, word: str, meaning: str = "") -> Self:
        """A member, written as `NAME = "word", "meaning"`."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.meaning = meaning
        return member

    @classmethod
    def _missing_(cls, value: object) -> None:
        raise ValueError(f"expected {cls.listed()}, got {value!r}")

    @classmethod
    def listed(cls) -> str:
        """All words as a sentence has them: `a, b or c`."""
        return _joined([str(word) for word in cls])

    @classmethod
    def explained(cls) -> str:
        """All words with their meanings: `a (the first), b (the second) or c (the last)`."""
        return _joined([f"{word} ({word.meaning})" for word in cls])


def _joined(words: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
