"""What an interrupted run needs to go on: written by the loop now and then, read at a new start."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch

from pushforward.errors import RunError
from pushforward.files import read_tensors, write_json, write_tensors
from pushforward.runs.fitted import State
from pushforward.runs.folder import Folder, Json
from pushforward.training.selection import Reading

if TYPE_CHECKING:
    from pushforward.training.loop import Loop


def save(loop: Loop, folder: Folder) -> None:
    """Write weights, averages, optimizers, random state and position."""
    tensors = {f"model.{n}": t for n, t in loop.model.state_dict().items()}
    tensors |= {f"average.{n}": t for n, t in loop.average.weights().items()}
    tensors |= {f"best.{n}": t for n, t in loop.best.items()}
    for optimizer in loop.optimizers:
        name = optimizer.turn.name
        tensors |= {f"turn {name}.{n}": t for n, t in optimizer.state().items()}
    tensors["lowest"] = loop.lowest.parts
    tensors["random.cpu"] = torch.get_rng_state()
    if loop.device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(loop.device)
    position = {
        "step": loop.step,
        "drawn": loop.batches.drawn,
        "plays": loop.plays,
        "seconds": loop.seconds(),
        "spent": loop.elapsed(),
        "lowest": loop.lowest.value,
        "best step": loop.best_step,
    }
    write_tensors(folder.state, tensors, json.dumps(position))
    write_json(folder.state.with_suffix(".json"), position)


def resume(loop: Loop) -> None:
    """Go on from the saved state, if there is one; it says itself where it stands."""
    saved = loop.team.first(lambda: _saved(loop.folder))
    if saved is None:
        if loop.first > 0:
            msg = "this run has no saved state (it was saved from memory), so it cannot go on"
            raise RunError(msg)
        return
    tensors, position, loop.history = saved
    loop.model.load_state_dict(_under("model.", tensors))
    loop.average.model.load_state_dict(_under("average.", tensors))
    loop.best = {n: t.to(loop.device) for n, t in _under("best.", tensors).items()}
    for optimizer in loop.optimizers:
        optimizer.restore(_under(f"turn {optimizer.turn.name}.", tensors))
    torch.set_rng_state(tensors["random.cpu"])
    if loop.device.type == "cuda" and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"], loop.device)
    loop.step, loop.batches.drawn = position["step"], position["drawn"]
    loop.plays |= position["plays"]
    loop.before, loop.best_step = position["seconds"], position["best step"]
    loop.lowest = Reading(position["lowest"], tensors["lowest"])
    loop.spent = position["spent"] if loop.step > loop.first else 0.0


def _saved(folder: Folder | None) -> tuple[State, Json, list[Json]] | None:
    """Return the state of an earlier start, where it stood, and the records until then."""
    if folder is None or not folder.state.exists():
        return None
    tensors, text = read_tensors(folder.state)
    position = json.loads(text)
    history = folder.read_history(until=position["step"])
    folder.write_history(history)
    return tensors, position, history


def _under(prefix: str, tensors: State) -> State:
    """Return the tensors whose names begin with a prefix, without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
