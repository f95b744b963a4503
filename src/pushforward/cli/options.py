"""A model's options on the command line: `--latent 16`, or `--vae.beta 0.5` for one model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.core import TyperCommand

from pushforward.errors import ModelError, nearest
from pushforward.families.options import Option, check_value
from pushforward.models.catalogue import Entry, describe

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


def model_options(
    arguments: Sequence[str], models: Sequence[str], flags: Sequence[str] = ()
) -> dict[str, Options]:
    """Return the options of each model, by its own name.

    Args:
        arguments: `--option=value` for all models that have it, `--model.option=value` for one.
        models: names of models, or where users' own are.
        flags: options of the command itself, to suggest from.

    Raises:
        ModelError: a model or an option is unknown (the nearest is named), a model is named twice,
            or a value does not fit.
    """
    entries = {model: describe(model) for model in models}
    own: dict[str, Options] = {entry.name: {} for entry in entries.values()}
    if len(own) < len(models) or not models:
        msg = f"name each model once, and at least one; got {', '.join(models) or 'none'}"
        raise ModelError(msg)
    shared: dict[str, Options] = {name: {} for name in own}
    for argument in arguments:
        flag, _, text = argument.removeprefix("--").partition("=")
        prefix, dot, name = flag.rpartition(".")
        name = name.replace("-", "_")
        addressed = [e for model, e in entries.items() if not dot or _same(prefix, model, e.name)]
        having = [entry for entry in addressed if name in entry.options]
        if not having:
            raise _unknown(flag, addressed, list(own), flags)
        for entry in having:
            (own if dot else shared)[entry.name][name] = _value(entry.options[name], text)
    return {name: shared[name] | own[name] for name in own}


def _same(name: str, *others: str) -> bool:
    """Whether a name is one of the others; a dash is as good as an underscore."""
    return name.replace("-", "_") in {other.replace("-", "_") for other in others}


def _unknown(
    flag: str, addressed: Sequence[Entry], models: Sequence[str], flags: Sequence[str]
) -> ModelError:
    """Return the error for an option that no addressed model has; it suggests the nearest."""
    prefix, dot, _ = flag.rpartition(".")
    if not addressed:
        return ModelError(f"no model {prefix!r} for --{flag}: {nearest(prefix, models)}")
    names = {name.replace("_", "-") for entry in addressed for name in entry.options}
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
