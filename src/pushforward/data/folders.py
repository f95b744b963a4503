"""Folders of images: which files, and what the names of their sub-folders say.

Sub-folders named train, val and test are the splits; those of masks beside images are left out;
any others are classes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pushforward.data.image_files import IMAGE_ENDINGS, Resizing, read_images
from pushforward.data.numeric import Array, Ints
from pushforward.data.schema import SplitName
from pushforward.errors import DataError

SPLIT_FOLDERS: Mapping[str, SplitName] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
}
PICTURE_FOLDER = re.compile(r"images?|imgs?|jpegimages|photos?|pictures?|rgb")
MASK_FOLDER = re.compile(
    r"annotations?|gt|ground_?truths?|labels?|masks?|seg|segmentations?|segmentation(class|object)"
)
MASK_FILE = re.compile(r"(.+)[ _-](mask|masks|label|labels|gt|seg|segmentation)(_\d+)?", re.I)
# Endings of what belongs to a folder of images and is none; of others a user wants to know.
BESIDE = re.compile(r"\.|\.(csv|db|html|ini|json|log|md|py|txt|xml|ya?ml)")
DEPTH = 3  # levels of sub-folders whose names are looked at


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder.

    Args:
        images: (n, H, W, C), in the order of their paths.
        classes: the class of each, or None.
        splits: the images of each split that the folder has.
        groups: the file of each where a file has several, or None.
        notes: remarks for the user.
    """

    images: Array
    classes: list[str] | None
    splits: Mapping[SplitName, Ints] = field(default_factory=dict)
    groups: Ints | None = None
    notes: tuple[str, ...] = ()


def read_folder(folder: Path, resizing: Resizing | None = None) -> ImageFolder:
    """Return the images of a folder and its sub-folders, with their classes and splits.

    Raises DataError where there are none, a file is broken, or they do not fit each other.
    """
    files, notes = _image_files(folder)
    files, parts, masks_note = _without_masks(files, [_folders(folder, f) for f in files])
    names, parts = _split_names(parts)
    classes, classes_note = _classes(parts)
    found = read_images(files, resizing)
    counts = found.counts
    splits = _indices([name for name, n in zip(names, counts, strict=True) for _ in range(n)])
    labels = classes and [name for name, n in zip(classes, counts, strict=True) for _ in range(n)]
    all_notes = filter(None, [masks_note, *notes, *found.notes, classes_note])
    return ImageFolder(found.images, labels, splits, found.groups, tuple(all_notes))


def _image_files(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the images in a folder, and a note that counts all other files."""
    found = sorted(f for f in folder.rglob("*") if f.is_file())
    hidden = [any(p.startswith(".") for p in f.relative_to(folder).parts) for f in found]
    is_image = [f.suffix.lower() in IMAGE_ENDINGS for f in found]
    kept = list(zip(found, hidden, is_image, strict=True))
    files = [f for f, unseen, image in kept if image and not unseen]
    if not files:
        msg = f"{folder} holds no images ({', '.join(sorted(IMAGE_ENDINGS))})"
        raise DataError(msg)
    others = Counter(f.suffix.lower() or "." for f, unseen, image in kept if not (image or unseen))
    unseen = sum(unseen and image for _, unseen, image in kept)
    listed = [f"{n:,} {'without ending' if e == '.' else e}" for e, n in others.most_common()]
    listed += [f"{unseen:,} hidden images"] if unseen else []
    check = "" if all(map(BESIDE.fullmatch, others)) else "check: "
    known = "; convert those that are images" if check else ""
    return files, [f"{check}left out what is no image: {', '.join(listed)}{known}"] * bool(listed)


def _folders(folder: Path, file: Path) -> tuple[str, ...]:
    """Return the names of the sub-folders that a file lies in, from the outside."""
    return file.relative_to(folder).parts[:-1]


Parts = list[tuple[str, ...]]


def _level(parts: Sequence[tuple[str, ...]], depth: int) -> list[str]:
    """Return the names of the sub-folders at one depth, "" where there is none."""
    return [names[depth].lower() if len(names) > depth else "" for names in parts]


def _without(names: tuple[str, ...], depth: int) -> tuple[str, ...]:
    return names[:depth] + names[depth + 1 :]


def _without_masks(files: list[Path], parts: Parts) -> tuple[list[Path], Parts, str]:
    """Leave out masks: in folders beside those of images, or files named after an image."""
    known = {file.with_suffix("") for file in files}
    kept = [not _is_mask_of(file, known) for file in files]
    depth = next((d for d in range(DEPTH) if _has_masks(_level(parts, d))), None)
    if depth is not None:
        kept = [bool(PICTURE_FOLDER.fullmatch(name)) for name in _level(parts, depth)]
        left = Counter(p[depth] if len(p) > depth else "." for p in _where(parts, kept, False))
        beside = ", ".join(f"{n:,} in {name}/" for name, n in left.items())
        parts = [_without(p, depth) if keep else p for p, keep in zip(parts, kept, strict=True)]
    else:
        beside = f"{kept.count(False):,}"
    if all(kept):
        return files, parts, ""
    note = f"check: read {kept.count(True):,} images, and left out {beside} that look like masks"
    return (
        [file for file, keep in zip(files, kept, strict=True) if keep],
        _where(parts, kept, True),
        f"{note} of them; give their folder to learn those",
    )


def _where(parts: Parts, kept: Sequence[bool], wanted: bool) -> Parts:
    return [names for names, keep in zip(parts, kept, strict=True) if keep is wanted]


def _has_masks(names: Sequence[str]) -> bool:
    """Whether folders of masks and of images lie side by side."""
    return any(map(MASK_FOLDER.fullmatch, names)) and any(map(PICTURE_FOLDER.fullmatch, names))


def _is_mask_of(file: Path, known: set[Path]) -> bool:
    """Whether a file is named after another one, as in photo.jpg and photo_mask.png."""
    match = MASK_FILE.fullmatch(file.stem)
    return match is not None and file.with_name(match[1]) in known


def _split_names(parts: Parts) -> tuple[list[SplitName | None], Parts]:
    """Return the split that each file lies in, and the sub-folders without those of splits."""
    for depth in range(DEPTH):
        names = _level(parts, depth)
        if SPLIT_FOLDERS.keys() >= set(names):
            splits = [SPLIT_FOLDERS[name] for name in names]
            return list(splits), [_without(names, depth) for names in parts]
    return [None] * len(parts), parts


def _classes(parts: Parts) -> tuple[list[str] | None, str]:
    """Return the class of each file: the outermost folder in which they differ; and a note."""
    while len(set(_level(parts, 0))) == 1 and all(len(names) > 1 for names in parts):
        parts = [names[1:] for names in parts]
    outside = sum(not names for names in parts)
    if outside == len(parts):
        return None, ""
    if outside:
        note = f"check: {outside:,} of {len(parts):,} images lie outside of the sub-folders"
        return None, f"{note}, so that these are no classes"
    names = sorted({names[0] for names in parts})
    odd = [name for name in names if name.lower() in SPLIT_FOLDERS]
    note = f"check: the folders {', '.join(odd)} are read as classes like {_another(names, odd)}"
    note = f"{note}; splits are folders named train, val and test alone"
    return [names[0] for names in parts], note if odd else ""


def _another(names: Sequence[str], odd: Sequence[str]) -> str:
    return next((name for name in names if name not in odd), names[0])


def _indices(names: Sequence[SplitName | None]) -> dict[SplitName, Ints]:
    """Return the images of each split."""
    found = np.array([name or "" for name in names])
    present = [name for name in SPLIT_FOLDERS.values() if name in found]
    return {name: np.flatnonzero(found == name) for name in dict.fromkeys(present)}
