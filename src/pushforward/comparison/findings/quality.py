"""How good models are, beside the references."""

from __future__ import annotations

from collections.abc import Iterator

from pushforward.comparison.findings.checks import Evidence, Found, check
from pushforward.comparison.folder import CART
from pushforward.comparison.losses import Losses, average, losses_by
from pushforward.comparison.words import joined

FLOOR_LOSS = 1.0


@check("PF301", "No better than the floor", vetoes="model")
def below_floor(evidence: Evidence) -> Iterator[Found]:
    """A model that independent columns or a Gaussian fit beat is of no use."""
    for model, losses in evidence.losses.items():
        worse = [aspect for aspect, own in losses.items() if own.mean >= FLOOR_LOSS]
        if worse and 2 * len(worse) >= len(losses):
            yield (
                model,
                f"{model} is no better than the floor in {len(worse)} of {len(losses)} aspects: "
                f"{joined(f'{aspect} (loss {losses[aspect].mean:.2f})' for aspect in worse)}.",
                "Train longer, or choose another model.",
            )


@check("PF302", "A tree for each column is nearer to real rows")
def behind_cart(evidence: Evidence) -> Iterator[Found]:
    """The method of the 1990s beats the model that is to be recommended."""
    card, leader = evidence.references.get(CART), evidence.leader
    if card is None or leader is None or not evidence.aspects:
        return
    trees = {
        aspect: average([losses_by(name, evidence.scales[name], [card]) for name in names])
        for aspect, names in evidence.aspects.items()
    }
    ahead = [a for a, own in trees.items() if own.mean < evidence.losses[leader][a].mean]
    if 2 * len(ahead) > len(trees):
        yield (
            leader,
            f"trees, each column given those before it, are ahead of {leader} in "
            f"{joined(_against(a, trees[a], evidence.losses[leader][a]) for a in ahead)}.",
            "They take seconds, and draw training values; train longer, or use them.",
        )


def _against(aspect: str, trees: Losses, model: Losses) -> str:
    return f"{aspect} (loss {trees.mean:.2f} against {model.mean:.2f})"
