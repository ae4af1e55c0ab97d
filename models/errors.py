"""The errors of an engine."""


class EngineError(RuntimeError):
    """An engine cannot do what was asked; the text says what was expected, what came, and what to do."""


class EngineUnavailable(EngineError):
    """The engine cannot be made here: unknown name, missing package, or an artifact that does not fit."""


class EngineBusy(EngineError):
    """The engine works on a frame for so long that nobody can adjust it meanwhile; nothing has changed."""


class InferenceError(EngineError):
    """One frame could not be inverted; it is dropped and counted, and the stream goes on.

    `reason` is the short, stable name it is counted under; the text is for people.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
