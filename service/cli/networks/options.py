"""Options that several of the commands that make networks take, each typed once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

if TYPE_CHECKING:
    from qpi_live.models.training.background import BackgroundPlan
    from qpi_live.models.training.plan import TrainingPlan

Plan = TypeVar("Plan", "TrainingPlan", "BackgroundPlan")
Pairs = Annotated[Path, typer.Argument(help="Folder of pairs, as `qpi pairs` writes it.")]
Run = Annotated[Path, typer.Argument(help="Folder of the run; a run that is there goes on where it stopped.")]
NewFolder = Annotated[Path, typer.Argument(help="Folder to write.")]
Recording = Annotated[str, typer.Argument(help="A camera, as for `qpi serve --camera`: replay:PATH, …")]
Frames = Annotated[int, typer.Option(help="Frames to look at.")]
Size = Annotated[int | None, typer.Option(help="Edge of the frames; whole frames by default.")]
Channel = Annotated[str, typer.Option(help="Channel with the holograms; found by default.")]
Training = Annotated[int, typer.Option(help="How many to train on.")]
Validation = Annotated[int, typer.Option(help="How many to validate on.")]
SetSeed = Annotated[int, typer.Option(min=1, help="Of the whole set, from 1; same seed, same set.")]
Processes = Annotated[int, typer.Option(help="How many work side by side.")]
Background = Annotated[
    list[str] | None,
    typer.Option(help="Also the classical chain with this background: learned, or the file of a learned one."),
]


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """What every training takes; None leaves what the plan has. Fields are called as the plan's, but for `bf16`."""

    epochs: Annotated[int | None, typer.Option(help="Epochs in all (default: 200 to train, 300 to search).")] = None
    minutes: Annotated[
        float | None, typer.Option(help="Time in all, over every resumption; ends before the epochs do.")
    ] = None
    crop: Annotated[
        int | None, typer.Option(help="Edge of the training crops in px; 32 divides it (default: 512).")
    ] = None
    batch: Annotated[int | None, typer.Option(help="Samples per step and process (default: 2; background: 4).")] = None
    learning_rate: Annotated[
        float | None, typer.Option(help="Highest learning rate of Adam (default: 0.008; background: 0.002).")
    ] = None
    validate_every: Annotated[int | None, typer.Option(help="Epochs between validations (default: 1).")] = None
    validation_frames: Annotated[int | None, typer.Option(help="Frames to validate on (default: all).")] = None
    seed: Annotated[int | None, typer.Option(help="Of the first weights and of every crop (default: 0).")] = None
    threads: Annotated[int | None, typer.Option(help="CPU threads of each process.")] = None
    stop_after: Annotated[
        int | None, typer.Option(help="Stop after so many epochs of the plan; run again to go on.")
    ] = None
    bf16: Annotated[
        bool | None,
        typer.Option("--bf16/--fp32", help="Precision of training; by default bf16 on a GPU, fp32 on a CPU."),
    ] = None

    def over(self, plan: Plan) -> Plan:
        """The plan with what was stated in place of its own.

        Raises:
            ValueError: something was stated that this plan does not have, or that it refuses.
        """
        stated = {field.name: getattr(self, field.name) for field in fields(self)}
        stated["mixed_precision"] = stated.pop("bf16")
        stated = {name: value for name, value in stated.items() if value is not None}
        unknown = [name for name in stated if not hasattr(plan, name)]
        if unknown:
            option = "bf16" if unknown[0] == "mixed_precision" else unknown[0].replace("_", "-")
            raise ValueError(f"expected options of this network's training, got --{option}; leave it out")
        return replace(plan, **stated)


def takes_training_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter `asked` is a `TrainingOptions` as one that has an option for each of its fields."""
    signature = inspect.signature(command, eval_str=True)
    hints = get_type_hints(TrainingOptions, include_extras=True)
    shared = [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hints[field.name])
        for field in fields(TrainingOptions)
    ]

    @wraps(command)
    def parsed(**given: Any) -> None:
        asked = TrainingOptions(**{option.name: given.pop(option.name) for option in shared})
        command(**given, asked=asked)

    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in signature.parameters.items()
        if name != "asked"
    ]
    parsed.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
    parsed.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *shared)}
    return parsed
