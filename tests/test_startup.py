"""What starts quickly: modules are counted, times are not (they depend on the machine)."""

from __future__ import annotations

import ast
import importlib
import json
import logging
import subprocess
import sys
from importlib.metadata import EntryPoint, version
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest

import pushforward as pf
from pushforward.errors import ModelError
from pushforward.models import all_models, catalogue, find
from pushforward.models.catalogue import Entry, describe, installed_models

HEAVY = {
    *("torch", "numpy", "scipy", "polars", "sklearn", "plotly", "pandas", "narwhals", "PIL"),
    *("safetensors", "jinja2", "joblib"),
}
LIGHT = {
    *("pushforward", "pushforward.errors", "pushforward.cli", "pushforward.cli.console"),
    *("pushforward.cli.answers", "pushforward.cli.features", "pushforward.cli.fitting"),
    "pushforward.cli.groups",
    "pushforward.cli.jobs",
    "pushforward.cli.main",
    *("pushforward.cli.options", "pushforward.cli.parameters", "pushforward.cli.samples"),
    *("pushforward.families", "pushforward.families.lookup", "pushforward.families.options"),
    *("pushforward.models", "pushforward.models.catalogue"),
    *("pushforward.threads", "pushforward.training", "pushforward.training.launched"),
    *("pushforward.training.private", "pushforward.training.private.guarantee"),
    "pushforward.training.settings",
}
# Each command runs in a process of its own, forked where nothing but the parser is loaded.
PROBE = """
import json, os, sys
from pushforward.cli.main import run_command

def probe(arguments, folder):
    os.chdir(folder)
    for stream, name in (1, "stdout"), (2, "stderr"):
        os.dup2(os.open(f"{folder}.{name}", os.O_WRONLY | os.O_CREAT), stream)
    status = run_command(arguments)
    with open(f"{folder}.json", "w") as file:
        json.dump([status, sorted(sys.modules)], file)

for line in sys.stdin:
    arguments, folder = json.loads(line)
    process = os.fork()
    if not process:
        try:
            probe(arguments, folder)
            sys.stdout.flush()
        finally:
            os._exit(0)
    os.waitpid(process, 0)
"""
ANSWERED = [
    *("", "--help", "--version", "models", "models --json"),
    *(f"{name} --help" for name in ("compare", "fit", "sample", "measure", "report", "inspect")),
    *("selftest --help", "models --help"),
]
FIT = "fit ring --out x"
REFUSED = {
    "frobnicate": "frobnicate",
    "--frobnicate": "frobnicate",
    "fit ring": "--out",
    "fit ring extra --out x": "extra",
    "fit none.csv --out x": "no such file",
    "fit rign --out x": "did you mean 'ring'",
    f"{FIT} --model vea": "did you mean 'vae'",
    f"{FIT} --model mine.py:Mine": "no such file: mine.py",
    f"{FIT} --model not_here.models:Mine": "not_here",
    f"{FIT} --latnet 16": "did you mean '--latent'",
    f"{FIT} --batch 16": "did you mean '--batch-size'",
    f"{FIT} --latent abc": "latent must be a whole number",
    f"{FIT} --latent 2.5": "latent must be a whole number",
    f"{FIT} --latent 0": "latent must be a whole number at least 1",
    f"{FIT} --beta nan": "beta must be a number",
    f"{FIT} --beta inf": "beta must be a number",
    f"{FIT} --vae.beta=-1": "beta must be a number at least 0",
    f"{FIT} --gan.gamma 1": "no model 'gan'",
    f"{FIT} --noise perhaps": "noise must be True or False",
    f"{FIT} --kind vectors": "unknown --kind 'vectors': known: 'array', 'images'",
    f"{FIT} --range 0-1": "--range must be spelled like 0..1",
    f"{FIT} --resize big": "--resize must be spelled like 32x32",
    f"{FIT} --seed x": "--seed",
    f"{FIT} --seed -1": "seed",
    f"{FIT} --budget soon": "'60s'",
    f"{FIT} --more later": "'60s'",
    f"{FIT} --ema 1": "ema",
    f"{FIT} --learning-rate inf": "learning_rate",
    f"{FIT} --clip-grad-norm 0": "clip_grad_norm",
    f"{FIT} --batch-size 1": "batch_size",
    f"{FIT} --precision float61": "float16|float32",
    f"{FIT} --rare nmae": "did you mean 'name'",
    f"{FIT} --device tpu9": "tpu9",
    f"{FIT} --metadata none.json": "none.json",
    "compare ring --models vae,vae": "once",
    "compare ring --models vae,gna": "did you mean 'gan'",
    "compare ring --seeds two": "--seeds must be",
    "compare ring --features pcs": "did you mean 'pca'",
    "compare ring --weight 3": "no option --weight",
    "compare ring --trials 1": "trials must be a whole number at least 2",
    "compare ring --jobs 0": "--jobs must be a number of runs",
    "compare ring --jobs many": "--jobs",
    "compare ring --cluster dask": "--cluster must be ray, ray://HOST:PORT or tcp://HOST:PORT",
    "compare ring --cluster ray://host": "--cluster must be ray, ray://HOST:PORT",
    "compare ring --cluster tcp://127.0.0.1:9": "no cluster answers at tcp://127.0.0.1:9",
    "compare ring --cluster ray://127.0.0.1:9": "no cluster answers at ray://127.0.0.1:9",
    "sample nowhere -o x.csv": "config.json",
    "sample nowhere": "nowhere",
    "inspect nowhere": "config.json",
    "report nowhere": "comparison.json",
    "measure wine none.csv": "none.csv",
    "measure wine wine --train none.csv": "none.csv",
}


class Answer(NamedTuple):
    """What a command did in a process of its own."""

    status: int
    modules: set[str]
    stdout: str
    stderr: str
    left: list[str]  # files in its folder


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    """Every command's answer."""
    folder = tmp_path_factory.mktemp("commands")
    places = {text: folder / str(i) for i, text in enumerate([*ANSWERED, *REFUSED])}
    for place in places.values():
        place.mkdir()
    lines = [json.dumps([text.split(), str(place)]) for text, place in places.items()]
    python(PROBE, folder, "\n".join(lines))
    return {text: read_answer(place) for text, place in places.items()}


def python(code: str, folder: Path, text: str = "") -> str:
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=folder, input=text, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def read_answer(folder: Path) -> Answer:
    status, modules = json.loads(folder.with_suffix(".json").read_text())
    out, error = (folder.with_suffix(f".{name}").read_text() for name in ("stdout", "stderr"))
    return Answer(status, set(modules), out, error, [path.name for path in folder.iterdir()])


def assert_light(modules: set[str]) -> None:
    assert not HEAVY & {name.partition(".")[0] for name in modules}, sorted(modules)
    own = {name for name in modules if name.partition(".")[0] == "pushforward"}
    assert own <= LIGHT, sorted(own - LIGHT)


def test_the_import_loads_nothing_of_the_library(tmp_path: Path) -> None:
    code = "import sys, pushforward; print(*sys.modules)"
    modules = set(python(code, tmp_path).split())
    assert_light(modules)
    own = {name for name in modules if name.startswith("pushforward")}
    assert own == {
        "pushforward",
        "pushforward.threads",
    }  # before torch


@pytest.mark.parametrize("text", ANSWERED)
def test_help_version_and_models_answer_without_heavy_modules(
    text: str, answers: dict[str, Answer]
) -> None:
    answer = answers[text]
    assert answer.status == 0
    assert answer.stdout
    assert not answer.stderr
    assert_light(answer.modules)


@pytest.mark.parametrize("text", REFUSED)
def test_usage_errors_take_one_line_and_no_heavy_modules(
    text: str, answers: dict[str, Answer]
) -> None:
    answer = answers[text]
    assert answer.status == 2
    assert not answer.stdout
    assert answer.stderr.startswith("error: ")
    assert answer.stderr.count("\n") == 1
    assert any(part in answer.stderr for part in REFUSED[text].split("|")), answer.stderr
    assert_light(answer.modules)
    assert not answer.left


def test_the_version_is_that_of_the_package(answers: dict[str, Answer]) -> None:
    assert answers["--version"].stdout == f"pushforward {version('pushforward')}\n"
    assert pf.__version__ == version("pushforward")


def test_public_names_are_what_type_checkers_see() -> None:
    """The imports under TYPE_CHECKING and the table of homes say the same."""
    source = ast.parse(Path(pf.__file__).read_text())
    block = next(node for node in source.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module or "" for node in imports for alias in node.names}
    assert sorted(seen) == pf.__all__
    for name, home in seen.items():
        value = importlib.import_module(home)
        assert getattr(pf, name) is getattr(value, name), name
    assert set(dir(pf)) == {*pf.__all__, "__version__"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'nonsense'"):
        pf.nonsense  # type: ignore[attr-defined]  # noqa: B018 - type checkers see it too


def test_nothing_is_logged_unless_asked_for() -> None:
    handlers = logging.getLogger("pushforward").handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)
    assert (Path(pf.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize("name", all_models())
def test_models_read_from_source_are_those_that_are_imported(name: str) -> None:
    cls, entry = all_models()[name], catalogue.builtin_models()[name]
    summary = (sys.modules[cls.__module__].__doc__ or "").partition("\n")[0]
    assert entry == Entry(cls.name, cls.place, cls.reference, summary, cls.options())
    assert 20 < len(summary) < 100  # a line
    assert list(entry.options) == list(cls.options())  # in the same order


def test_every_model_is_in_the_catalogue() -> None:
    assert list(catalogue.builtin_models()) == list(all_models())


def test_what_cannot_be_read_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    read = catalogue.builtin_models()

    def computed(argument: ast.arg) -> NoReturn:
        raise catalogue._UnreadableError(argument.arg)

    monkeypatch.setattr(catalogue, "_hint", computed)
    for cached in (catalogue.builtin_models, catalogue._skeleton):
        cached.cache_clear()
    assert catalogue.builtin_models() == read
    catalogue.builtin_models.cache_clear()


@pytest.mark.parametrize("default", ["1 / 3", "DEFAULT", "f()"])
def test_a_default_that_is_computed_cannot_be_read(default: str) -> None:
    (cls,) = ast.parse(f"class A:\n def __init__(self, *, a: float = {default}): ...").body
    assert isinstance(cls, ast.ClassDef)
    with pytest.raises(catalogue._UnreadableError):
        catalogue._own_options(cls)


MINE = """
from typing import Annotated, Any
from pushforward.models.vae import VAE

class Mine(VAE):
    def __init__(self, space, classes=0, *, wish: Annotated[float, "A wish."] = 2.0, **shared: Any):
        super().__init__(space, classes, **shared)
"""


def test_a_model_of_ones_own_is_described_by_its_class(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    entry = describe(f"{file}:Mine")
    assert entry.name == "Mine"
    assert entry.options["wish"].default == 2.0
    assert entry.options["beta"].type is float


def test_installed_models_are_listed_and_found(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("other", "pushforward.models.vae:VAE", catalogue.GROUP)

    def entry_points(*, group: str) -> list[EntryPoint]:
        return [point] if group == catalogue.GROUP else []

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    monkeypatch.setattr("pushforward.models.registry.entry_points", entry_points)
    assert installed_models() == {"other": "pushforward.models.vae:VAE"}
    assert describe("other").options == find("vae").options()
    with pytest.raises(ModelError, match="did you mean 'other'"):
        describe("othre")
