"""A model's options on the command line: `--latent 16`, or `--vae.beta 0.5` for one model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import typer
from typer.core import TyperCommand

from pushforward.errors import ModelError, nearest
from pushforward.families.options import Option, check_value
from pushforward.models.catalogue import Entry, describe, require_name

Options = dict[str, Any]
BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}
READ: dict[type, Callable[[str], Any]] = {
    bool: lambda text: BOOLEANS[text.lower()],
    int: int,
    float: float,
}


class ModelCommand(TyperCommand):
    """A command that also takes the options of models.

    They may stand anywhere; the context's `args` has them as `--name=value`.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Set the models' options apart, and parse all others."""
        own, models = split_arguments(args, {*command_flags(self), "--help"})
        rest: list[str] = super().parse_args(ctx, own)
        ctx.args = models
        return rest


def is_given(context: typer.Context, name: str) -> bool:
    """Return whether a parameter of a command was named on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def command_flags(command: Any) -> list[str]:
    """Return the options of the command itself."""
    flags = [flag for parameter in command.params for flag in parameter.opts]
    return [flag for flag in flags if flag.startswith("--")]


def split_arguments(args: Sequence[str], flags: set[str]) -> tuple[list[str], list[str]]:
    """Return a command's own arguments (its options are `flags`), and `--name=value` of others.

    An option without a value is true.
    """
    own: list[str] = []
    others: list[str] = []
    rest = list(args)
    while rest:
        argument = rest.pop(0)
        name, equals, _ = argument.partition("=")
        if not name.startswith("--") or name in flags:
            own.append(argument)
        elif equals:
            others.append(argument)
        else:
            given = bool(rest) and not rest[0].startswith("--")
            others.append(f"{name}={rest.pop(0) if given else 'true'}")
    return own, others


def label_models(texts: Iterable[str]) -> dict[str, str]:
    """Return models by label, from LABEL=MODEL; without a label a model has its own name.

    ModelError for an unknown model (the nearest is named), none at all, and a label given twice.
    """
    parts = [text.rpartition("=") for text in texts]
    labels = [label if equals else describe(model).name for label, equals, model in parts]
    for label in labels:
        require_name(label)
    if len(set(labels)) < len(labels) or not labels:
        msg = f"name each model once, and at least one; got {', '.join(labels) or 'none'}"
        raise ModelError(f"{msg} (to compare one under several options: vae,other=vae)")
    return {label: model for label, (_, _, model) in zip(labels, parts, strict=True)}


def model_options(
    arguments: Iterable[str], models: Mapping[str, str], flags: Sequence[str] = ()
) -> dict[str, Options]:
    """Return the options of each model, by label.

    Args:
        arguments: `--option=value` for all models that have it, `--label.option=value` for one.
        models: by label, their names, or where users' own are.
        flags: options of the command itself, to suggest from.

    Raises:
        ModelError: a model or an option is unknown (the nearest is named), or a value does not fit.
    """
    entries = {label: describe(model) for label, model in models.items()}
    own: dict[str, Options] = {label: {} for label in models}
    shared: dict[str, Options] = {label: {} for label in models}
    for argument in arguments:
        flag, _, text = argument.removeprefix("--").partition("=")
        prefix, dot, name = flag.rpartition(".")
        name = name.replace("-", "_")
        addressed = _addressed(prefix, models) if dot else list(models)
        having = [label for label in addressed if name in entries[label].options]
        if not having:
            raise _unknown(flag, {label: entries[label] for label in addressed}, models, flags)
        for label in having:
            (own if dot else shared)[label][name] = _value(entries[label].options[name], text)
    return {label: shared[label] | own[label] for label in models}


def _addressed(name: str, models: Mapping[str, str]) -> list[str]:
    """Return the label that is meant, else all labels of the model that is.

    A dash is as good as an underscore.
    """
    by_label, by_model = (
        [label for label, known in pairs if known.replace("-", "_") == name.replace("-", "_")]
        for pairs in (zip(models, models, strict=True), models.items())
    )
    return by_label or by_model


def _unknown(
    flag: str, addressed: Mapping[str, Entry], models: Iterable[str], flags: Sequence[str]
) -> ModelError:
    """Return the error for an option that no addressed model has; it suggests the nearest."""
    prefix, dot, _ = flag.rpartition(".")
    if not addressed:
        return ModelError(f"no model {prefix!r} for --{flag}: {nearest(prefix, models)}")
    names = {name.replace("_", "-") for entry in addressed.values() for name in entry.options}
    known = [f"--{prefix}{dot}{name}" for name in names]
    return ModelError(f"no option --{flag}: {nearest(f'--{flag}', {*known, *flags})}")


def _value(option: Option, text: str) -> Any:
    """Return the value of an option, of its type; ModelError when it does not fit."""
    if option.optional and text.lower() == "none":
        return None
    try:
        value = READ.get(option.type, str)(text)
    except (KeyError, ValueError):
        value = text  # of the wrong type, which the check explains
    return check_value(option, value)
