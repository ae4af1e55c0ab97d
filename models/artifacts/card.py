"""Cards: what a file of this project says of itself. One way to write them, to read them and to refuse them.

A network's ONNX file, a checkpoint, a compiled network, a set of pairs and one of cultures have a card each. A card is
one JSON document with its format's name, and never holds JSON as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from qpi_live.models.errors import EngineUnavailable

_IN_METADATA = "qpi.card"


class CardError(ValueError):
    """A file's card is missing, damaged or of another format. The text says what came, and what to do."""


class Card(BaseModel):
    """What a file says of itself; each kind of file has a class of its own.

    Attributes:
        FORMAT: name and version of the format that is written.
        EARLIER: formats that are read too, by `_upgraded`.
        WHAT: the kind of file, with the command that writes it, for refusals.
        REMEDY: what to do about one that cannot be read.
    """

    model_config = ConfigDict(frozen=True)
    FORMAT: ClassVar[str]
    EARLIER: ClassVar[tuple[str, ...]] = ()
    WHAT: ClassVar[str]
    REMEDY: ClassVar[str]

    def document(self) -> dict[str, Any]:
        """The card as plain values, with its format."""
        return {"format": self.FORMAT, **self.model_dump(mode="json")}

    def text(self, indent: int | None = None) -> str:
        """The card as JSON."""
        return json.dumps(self.document(), indent=indent)

    def metadata(self) -> dict[str, str]:
        """The card as the string pairs that an ONNX file holds."""
        return {_IN_METADATA: self.text()}

    @classmethod
    def of(cls, document: object) -> Self:
        """The card that `document`, the plain values, is.

        Raises:
            CardError: it is none, of another format, or damaged.
        """
        said = document.get("format") if isinstance(document, Mapping) else None
        if not isinstance(document, Mapping) or said not in (cls.FORMAT, *cls.EARLIER):
            says = "nothing of itself" if said is None else repr(said)
            raise CardError(f"expected {cls.WHAT} ({cls.FORMAT}), got a file that says {says}; {cls.REMEDY}")
        try:
            return cls.model_validate(cls._upgraded(dict(document)) if said in cls.EARLIER else document)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise cls.damaged(f"{where}: {first['msg']}") from error
        except (KeyError, TypeError, ValueError) as error:  # while upgrading
            raise cls.damaged(repr(error)) from error

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """The card that a JSON text is.

        Raises:
            CardError: see `of`; or the text is no JSON.
        """
        try:
            document = json.loads(text)
        except ValueError as error:
            raise cls.damaged(error) from error
        return cls.of(document)

    @classmethod
    def in_metadata(cls, metadata: Mapping[str, str]) -> Self:
        """The card in the string pairs of an ONNX file. Earlier versions wrote one pair for each value.

        Raises:
            EngineUnavailable: there is no such card; see `of`.
        """
        try:
            if _IN_METADATA in metadata:
                return cls.parse(metadata[_IN_METADATA])
            return cls.of(without_prefix(metadata))
        except CardError as error:
            raise EngineUnavailable(str(error)) from error

    @classmethod
    def damaged(cls, reason: object) -> CardError:
        """The refusal of a card that cannot be understood."""
        return CardError(f"expected {cls.WHAT}, got one whose card is damaged: {reason}; {cls.REMEDY}")

    @classmethod
    def _upgraded(cls, document: dict[str, Any]) -> dict[str, Any]:
        """A document of an earlier format as one of today's."""
        return document


def without_prefix(metadata: Mapping[str, str]) -> dict[str, Any]:
    """This project's string pairs among an ONNX file's, by their own names."""
    return {key.removeprefix("qpi."): value for key, value in metadata.items() if key.startswith("qpi.")}
