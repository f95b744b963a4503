"""Nothing in the source unpickles or runs what a file holds; the one reader of `.pth` is safe."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
FORBIDDEN = {
    "eval",
    "exec",
    "compile",
    "joblib.load",
    "pandas.read_pickle",
    "runpy.run_module",
    "runpy.run_path",
    "shelve.open",
    "torch.hub.load",
    "torch.hub.load_state_dict_from_url",
    "torch.jit.load",
    "torch.package.PackageImporter",
    "yaml.load",
    "yaml.unsafe_load",
}
PICKLES = {"_pickle", "cloudpickle", "dill", "marshal", "pickle"}
READERS = {"load", "loads", "Unpickler"}
SAFE = {"torch.load": ("weights_only", True), "numpy.load": ("allow_pickle", False)}
UNSAFE_DEFAULT = {"torch.load"}


def unsafe(code: str) -> Iterator[tuple[int, str]]:
    """The lines that unpickle or execute, and the function that they call."""
    tree = ast.parse(code)
    names = dict(imported(tree))
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = dotted(call.func, names)
        module, _, function = name.rpartition(".")
        if (
            name in FORBIDDEN
            or (module in PICKLES and function in READERS)
            or (name in SAFE and not safe(call, name))
        ):
            yield call.lineno, name


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Local names, and what they are."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def dotted(node: ast.expr, names: dict[str, str]) -> str:
    """The full name of what is called; of a method of something else, ? for that."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, names)}.{node.attr}"
    return "?"


def safe(call: ast.Call, name: str) -> bool:
    keyword, value = SAFE[name]
    given = [k.value for k in call.keywords if k.arg == keyword]
    if not given:
        return name not in UNSAFE_DEFAULT and all(k.arg is not None for k in call.keywords)
    return isinstance(given[0], ast.Constant) and given[0].value is value


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import pickle\npickle.loads(b'')", ["pickle.loads"]),
        ("import pickle as p\np.Unpickler(f).load()", ["pickle.Unpickler"]),
        ("from pickle import load as read\nread(f)", ["pickle.load"]),
        ("import torch\ntorch.load(f)", ["torch.load"]),
        ("import torch\ntorch.load(f, weights_only=False)", ["torch.load"]),
        ("import torch\ntorch.load(f, weights_only=safe)", ["torch.load"]),
        ("import torch\ntorch.load(f, weights_only=True)", []),
        ("import numpy as np\nnp.load(f, allow_pickle=True)", ["numpy.load"]),
        ("import numpy as np\nnp.load(f, **options)", ["numpy.load"]),
        ("import numpy as np\nnp.load(f)", []),
        ("from joblib import load\nload(f)", ["joblib.load"]),
        (
            "import marshal, shelve\nmarshal.load(f)\nshelve.open(f)",
            ["marshal.load", "shelve.open"],
        ),
        ("eval(text)\nexec(text)\nnetwork.eval()", ["eval", "exec"]),
        ("import re, json\nre.compile(text)\njson.load(f)", []),
    ],
)
def test_unsafe_calls_are_found(code: str, names: list[str]) -> None:
    assert [name for _, name in unsafe(code)] == names


# What the driver of a comparison sends to its own workers is pickled: it is never in a folder that
# is loaded, but in a temporary one of this user, or in the memory of a cluster that runs our code.
TO_WORKERS = {Path("comparison/jobs/parcel.py"), Path("comparison/jobs/work.py")}


def read_by_users() -> list[Path]:
    """The source files that may read what somebody else has written."""
    own = {SOURCE / "pushforward" / path for path in TO_WORKERS}
    assert all(path.exists() for path in own)
    return sorted(set(SOURCE.rglob("*.py")) - own)


def test_nothing_in_the_source_unpickles_or_executes_a_file() -> None:
    files = read_by_users()
    assert len(files) > 50
    found = {
        str(path.relative_to(SOURCE)): calls
        for path in files
        if (calls := list(unsafe(path.read_text())))
    }
    assert found == {}


def test_only_the_reader_of_pretrained_weights_knows_pickle() -> None:
    def modules(path: Path) -> set[str]:
        tree = ast.parse(path.read_text())
        return {full.split(".")[0] for _, full in imported(tree)}

    knowing = {p.name for p in read_by_users() if modules(p) & {*PICKLES, "shelve"}}
    assert knowing == {"pretrained.py"}, "it catches pickle's error, and calls torch's safe reader"
    calls = [
        node
        for node in ast.walk(ast.parse(next(SOURCE.rglob("pretrained.py")).read_text()))
        if isinstance(node, ast.Call) and dotted(node.func, {}) == "torch.load"
    ]
    assert len(calls) == 1
