"""A model's options on the command line: they follow the command's own, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pushforward.errors import ModelError, nearest


def model_options(
    arguments: Sequence[str], names: Sequence[str]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Read `--latent 16 --vae.beta=0.5` into shared options and those of one model.

    ModelError for an unknown model or option (the nearest is named), or a value of the wrong type.
    """
    from pushforward.comparison.compare import share_options
    from pushforward.models import find

    known = {name: find(name).options() for name in names}
    every = {option: o for options in known.values() for option, o in options.items()}
    shared: dict[str, Any] = {}
    own: dict[str, dict[str, Any]] = {}
    for flag, text in _pairs(arguments):
        model, _, option = flag.rpartition(".")
        options = known.get(model, {}) if model else every
        if option not in options:
            _unknown_option(flag, model, options, known)
        value = _value(flag, text, options[option].type, options[option].optional)
        (own.setdefault(model, {}) if model else shared)[option] = value
    share_options(names, shared, own)
    return shared, own


def _unknown_option(
    flag: str, model: str, options: Mapping[str, Any], known: Mapping[str, Any]
) -> None:
    if model and model not in known:
        msg = f"--{flag}: {model!r} is not among the models here: {nearest(model, known)}"
    else:
        flags = [f"--{name.replace('_', '-')}" for name in options]
        common = [f"--{name}" for name in COMMON]
        msg = f"no option --{flag}: {nearest('--' + flag, [*flags, *common])}"
    raise ModelError(msg)


COMMON = (
    *("models", "model", "seeds", "seed", "budget", "out", "condition", "key", "device"),
    *(
        "constraint",
        "rare",
        "metadata",
        "batch-size",
        "ema",
        "clip-grad-norm",
        "learning-rate",
        "precision",
        "json",
    ),
)


def _pairs(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Return the name and the text of each `--name value` or `--name=value`."""
    rest, pairs = list(arguments), []
    while rest:
        head = rest.pop(0)
        if not head.startswith("--"):
            msg = f"{head!r} was not expected; options look like --latent 16"
            raise ModelError(msg)
        name, equals, text = head.removeprefix("--").partition("=")
        if not equals:
            text = rest.pop(0) if rest and not rest[0].startswith("--") else "true"
        pairs.append((name.replace("-", "_") if "." not in name else _dotted(name), text))
    return pairs


def _dotted(name: str) -> str:
    """Return "direct-vae.separate-encoders" as "direct-vae.separate_encoders"."""
    model, _, option = name.rpartition(".")
    return f"{model}.{option.replace('-', '_')}"


def _value(flag: str, text: str, wanted: type, optional: bool) -> Any:
    if optional and text.lower() == "none":
        return None
    try:
        if wanted is bool:
            return {"true": True, "yes": True, "false": False, "no": False}[text.lower()]
        return wanted(text)
    except (KeyError, ValueError):
        msg = f"--{flag}: a value of type {wanted.__name__} is wanted, got {text!r}"
        raise ModelError(msg) from None
