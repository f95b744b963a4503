"""A device that is none, to test without a GPU that tensors stay where they belong.

Its tensors lie in main memory, but as on a GPU: a tensor of the CPU beside one of the device, a
generator of the CPU for numbers on the device, and NumPy on the device's tensors are errors. The
operations themselves are the CPU's, so that results are the same numbers.

To import this registers the device with torch for the whole process, so tests run it in one of
their own: `python simulated_device.py` scores samples of every kind on the CPU and on the device,
and prints both, as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import polars as pl
import torch
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

import pushforward as pf
from pushforward.measures._registry import MEASURES
from pushforward.measures.learned import _ensemble

NAME = "simulated"
ALLOWED = {"aten::copy_", "aten::_to_copy"}  # between devices
INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}


class DeviceTensor(torch.Tensor):
    """A tensor of the device; `held` is where its numbers are."""

    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # as torch documents it

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> DeviceTensor:
        made: DeviceTensor = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch's own has no `cls`
        cls, op: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return dispatched(op, args, kwargs or {})

    def tolist(self) -> Any:
        return self.held.tolist()


def dispatched(op: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call an operation of torch on the numbers that are held, when the devices allow it."""
    leaves = tree_leaves((args, dict(kwargs)))
    goal = kwargs.get("device")
    onto_device = goal is not None and torch.device(goal).type == NAME
    if not onto_device and not any(isinstance(leaf, DeviceTensor) for leaf in leaves):
        return op(*args, **kwargs)
    name = op._schema.name
    if name not in ALLOWED and not (name in INDEXING and isinstance(args[0], DeviceTensor)):
        strangers = [x for x in leaves if isinstance(x, torch.Tensor) and x.device.type == "cpu"]
        if any(x.ndim for x in strangers):  # a single number may come from anywhere
            raise RuntimeError(f"{op}: tensors on two devices")
    if any(isinstance(leaf, torch.Generator) for leaf in leaves):
        raise RuntimeError(f"{op}: a generator of the CPU for another device")
    result = op(*tree_map(_held, tuple(args)), **tree_map(_held, dict(kwargs)))
    if name.endswith("_"):
        return args[0]
    return result if goal is not None and not onto_device else tree_map(_on_device, result)


def _held(x: Any) -> Any:
    if isinstance(x, torch.device):
        return torch.device("cpu")
    return x.held if isinstance(x, DeviceTensor) else x


def _on_device(x: Any) -> Any:
    return DeviceTensor(x) if isinstance(x, torch.Tensor) else x


class _Operations(TorchDispatchMode):
    """Operations that make tensors on the device from nothing or from the CPU's."""

    def __torch_dispatch__(
        self, op: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return dispatched(op, args, kwargs or {})


class _Literals(TorchFunctionMode):
    """Python's lists as tensors and as indices, which torch makes before it dispatches."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        if function in (torch.tensor, torch.as_tensor) and "device" in options:
            device = options.pop("device")
            return function(*args, **options).to(device)
        if function is torch.Tensor.__getitem__:
            args = (args[0], _indices(args[1]))
        return function(*args, **options)


def _indices(index: Any) -> Any:
    if isinstance(index, list):
        return torch.tensor(index, dtype=torch.int64)
    return tuple(map(_indices, index)) if isinstance(index, tuple) else index


@contextmanager
def simulated_device() -> Iterator[torch.device]:
    """Let the device be used within this context."""
    with _Operations(), _Literals():  # type: ignore[no-untyped-call]  # torch's __init__
        yield torch.device(NAME)


def table(n: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n).round(2)
    label = np.where(a + rng.normal(size=n) > 0, "yes", "no")
    a[::7] = np.nan
    return pl.DataFrame({"a": a, "b": rng.choice(list("klm"), size=n), "label": label})


def samples() -> dict[str, tuple[pf.Dataset, list[str]]]:
    """Data of each kind, and the measures that are applied to them."""
    rng = np.random.default_rng(0)
    array = pf.read(rng.normal(size=(150, 2)))
    images = pf.read(rng.integers(256, size=(120, 8, 8), dtype=np.uint8))
    few = ["energy", "precision", "closest_record"]
    return {
        "array": (array, list(MEASURES["array"])),
        "table": (pf.read(table(150, 0), condition="label"), [*few, "exact_matches"]),
        "image": (images, [*few, "energy_pixels"]),
    }


def scored(data: pf.Dataset, measures: list[str], device: str | torch.device) -> dict[str, Any]:
    """Score one half of the training rows against the other."""
    rows, labels = data.subset("train")
    half = len(rows) // 2
    halves = [
        (r, None if labels is None else labels[r]) for r in torch.arange(2 * half).split(half)
    ]
    real, fake = ((rows[r], codes) for r, codes in halves)
    scorer = pf.measures.Scorer(data, measures=measures, device=device)
    found: dict[str, Any] = scorer.score(real, fake).to_json()["measures"]
    return found


def main() -> None:
    _ensemble.STEPS = 20  # where tensors lie is the same in every step of training
    backend_registration._setup_privateuseone_for_python_backend(NAME)
    cards = {}
    for kind, (data, measures) in samples().items():
        with simulated_device() as device:
            on_device = scored(data, measures, device)
        cards[kind] = {"cpu": scored(data, measures, "cpu"), "device": on_device}
    print(json.dumps(cards))


if __name__ == "__main__":
    main()
