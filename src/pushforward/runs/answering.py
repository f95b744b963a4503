"""What a fitted model answers about a user's rows, as its methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from pushforward.data import Schema
from pushforward.data.numeric import Floats
from pushforward.families.model import Model
from pushforward.runs.folder import Checkpoint
from pushforward.sampling.answers import Answers, How
from pushforward.sampling.likelihood import CODES


class Answering(ABC):
    """A model of tables that answers about rows.

    Exact given a code, and where the code says something by importance sampling over codes: see
    `sampling.completion`.
    """

    schema: Schema

    @abstractmethod
    def network(self, checkpoint: Checkpoint = "best") -> Model:
        """Return the network with a checkpoint's weights."""

    def impute(
        self,
        frame: Any,
        *,
        seed: int | None = None,
        how: How = "draw",
        checkpoint: Checkpoint = "best",
    ) -> Any:
        """Return rows of a table with their missing cells filled in, given the rest of each row.

        All other cells stay as they are.

        Args:
            frame: rows with all columns of the table; null, None and NaN are missing.
            seed: the same one gives the same rows; None draws one.
            how: `"draw"`: all missing cells of a row together, from the model's own distribution
                given the others, so that the filled table has the spread and the relations of a
                complete one. `"most likely"`: each cell by itself, the most probable category or
                the median of a number: the best single guess.
            checkpoint: `"best"` on validation, or `"final"`.

        Raises:
            DataError: a column is unknown or lacking, a category is unknown, or a known cell is
                tied by a constraint to a missing one.
            ModelError: the model is none of tables, or never generates what is known of a row.

        Warns where what is known of rows is rare under the model.
        """
        answers = Answers.of(self.network(checkpoint), self.schema, seed, "impute")
        return answers.imputed(frame, how)

    def predict_proba(
        self, frame: Any, target: Any, *, seed: int = 0, checkpoint: Checkpoint = "best"
    ) -> Any:
        """Return the probabilities of a column's values, given the rest of each row.

        Args:
            frame: rows with some of the table's columns: those that it lacks are not known. A
                missing value says that it is missing where training rows have missing values, and
                is not known elsewhere. The targets themselves are not looked at.
            target: a column, by its label, or a list of several: none of them is looked at.
            seed: of the codes.
            checkpoint: `"best"` on validation, or `"final"`.

        Returns:
            A frame with a column for each value, in the order of the table's categories: its
            probability, given that the value is not missing. Numbers are predicted by their cells:
            a frequent value by itself, others as ranges, "30..35". For a list, such a frame by
            target.

        Raises:
            DataError: as for `impute`; a target is unknown, constant, or has no probabilities of
                its own (identifiers, columns that a constraint computes).
            ModelError: as for `impute`.
        """
        answers = Answers.of(self.network(checkpoint), self.schema, seed, "predict_proba")
        name_of = answers.schema.frame_format.name_of
        if not isinstance(target, list):
            return answers.probabilities(frame, name_of(target), [])
        names = {label: name_of(label) for label in target}
        return {
            label: answers.probabilities(frame, name, list(names.values()))
            for label, name in names.items()
        }

    def log_prob(
        self,
        frame: Any,
        *,
        seed: int = 0,
        codes: int = CODES,
        clip: bool = False,
        checkpoint: Checkpoint = "best",
    ) -> Floats:
        """Return log2 of the probability of each row, (n,): minus its bits, on the table's cells.

        For a VAE it is a lower bound, by importance sampling over codes: in expectation no more
        than the truth, and the nearer to it the more codes. The unit is the same for all models of
        one table. See `sampling.likelihood`.

        Args:
            frame: whole rows; a missing value is a value like any other.
            seed: of the codes.
            codes: of each row.
            clip: count numbers beyond those of the training rows as the nearest of these.
            checkpoint: `"best"` on validation, or `"final"`.

        Raises:
            DataError: a row does not fit the table, or a number is out of range.
            ModelError: the model has no likelihood, as GANs.
        """
        answers = Answers.of(self.network(checkpoint), self.schema, seed, "log_prob")
        return answers.log_prob(frame, codes, clip=clip)
