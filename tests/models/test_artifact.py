import ast
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import models
import service
from models.artifacts.artifact import ArtifactError, Description, convert, find, load, load_module, publish
from models.artifacts.runtime import Model
from models.layout import StateLayout
from models.mixture import MixtureConfig
from tests.golden.publish_models import random_module
from tests.models.sessions import TOLERANCE, difference, served, unrolled, week_features

FILES = ("weights.safetensors", "step.onnx", "forecast.onnx", "model.json")
CARD = "# Small\n\nFor a test.\n"


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """An artifact to damage."""
    return Path(shutil.copytree(folder, tmp_path / "copied" / "1"))


def described(name: str = "small", version: int = 1) -> Description:
    return Description(name, version, ["D", "W"], 28, CARD, {"weather": {"relmae": 0.9}}, {"seed": 3})


def rewrite(folder: Path, **changes: Any) -> None:  # noqa: ANN401 - JSON
    """Change the configuration and give it the fingerprint that belongs to it, as someone who forges would."""
    config = json.loads((folder / "model.json").read_text()) | changes
    config.pop("fingerprint")
    digest = hashlib.sha256()
    for name in FILES[:3]:
        digest.update(hashlib.sha256((folder / name).read_bytes()).digest())
    digest.update(json.dumps(config, sort_keys=True, separators=(",", ":")).encode())
    (folder / "model.json").write_text(json.dumps(config | {"fingerprint": f"sha256:{digest.hexdigest()}"}))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    return publish(random_module(MixtureConfig(hidden=8), seed=5), described(), root)


def test_a_published_artifact_says_what_it_is(published: Path) -> None:
    spec = load(published).spec
    assert spec.label == "small@1"
    assert (spec.freqs, spec.warm_up, spec.horizon, spec.season) == (("D", "W"), 28, 14, 7)
    assert spec.levels == (50, 80, 90, 95)
    assert spec.metrics == {"weather": {"relmae": 0.9}}
    assert spec.provenance == {"seed": 3}
    assert (published / "MODEL_CARD.md").read_text() == CARD
    assert sorted(path.name for path in published.iterdir()) == sorted([*FILES, "MODEL_CARD.md"])


def test_an_artifact_can_be_read_by_every_user(published: Path) -> None:
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in [published, *published.iterdir()])


def test_graphs_say_nothing_of_the_machine_that_wrote_them(published: Path) -> None:
    for name in ("step.onnx", "forecast.onnx"):
        graph = (published / name).read_bytes()
        assert str(Path(models.__file__).parent).encode() not in graph
        assert b".py" not in graph


def test_a_published_version_is_never_overwritten(published: Path) -> None:
    before = {path.name: path.read_bytes() for path in published.iterdir()}
    other = random_module(MixtureConfig(hidden=8), seed=6)
    with pytest.raises(ArtifactError, match="never overwritten"):
        publish(other, described(), published.parents[1])
    assert {path.name: path.read_bytes() for path in published.iterdir()} == before


def test_the_graphs_of_a_draft_are_those_that_are_published(published: Path, tmp_path: Path) -> None:
    folder = publish(load_module(published), described("again"), tmp_path, draft=published)
    for name in FILES[:3]:
        assert (folder / name).read_bytes() == (published / name).read_bytes()
    assert load(folder).spec.label == "again@1"


def test_a_draft_of_another_module_is_refused(published: Path, tmp_path: Path) -> None:
    other = random_module(MixtureConfig(hidden=8), seed=6)
    narrower = random_module(MixtureConfig(hidden=8, state="float16"), seed=5)
    for module in (other, narrower):
        with pytest.raises(ArtifactError, match="is of another module"):
            publish(module, described(), tmp_path, draft=published)
    assert list(tmp_path.iterdir()) == []


def test_a_loaded_module_is_the_published_one(published: Path) -> None:
    values, calendar = np.random.default_rng(1).standard_normal((2, 30)), week_features(2, 30)
    issued, sizes, _ = served(load(published), values, calendar)
    expected, _ = unrolled(load_module(published), values, calendar)
    assert difference(issued, expected, sizes) <= TOLERANCE


def test_a_converted_model_has_the_weights_of_its_origin_and_says_so(published: Path, tmp_path: Path) -> None:
    folder = convert(published, tmp_path, name="smaller", version=3, state="float16")
    origin, spec = load(published).spec, load(folder).spec
    assert (folder / "weights.safetensors").read_bytes() == (published / "weights.safetensors").read_bytes()
    assert (spec.label, spec.architecture["state"], spec.metrics) == ("smaller@3", "float16", {})
    fingerprint = f"sha256:{origin.fingerprint.hex()}"
    assert spec.provenance["converted_from"] == {"model": "small@1", "fingerprint": fingerprint}
    assert spec.tolerance > origin.tolerance
    assert origin.state_bytes - spec.state_bytes == 2 * 2 * 8


@pytest.mark.parametrize("name", ["", "Daily", "../daily", "da ily", "d" * 41])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is no model name"):
        publish(random_module(MixtureConfig(hidden=8), seed=5), described(name), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_publishing_leaves_nothing_behind_when_the_law_is_broken(tmp_path: Path) -> None:
    module = random_module(MixtureConfig(hidden=8), seed=5)
    with torch.no_grad():
        module.head.out.bias[-1] = torch.nan
    with pytest.raises(ArtifactError, match="not finite"):
        publish(module, described(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(ArtifactError, match=f"lacks {name}"):
        load(copy)


@pytest.mark.parametrize("name", FILES[:3])
@pytest.mark.parametrize("place", [0, 0.5, 1])
def test_a_changed_byte_is_refused(copy: Path, name: str, place: float) -> None:
    content = bytearray((copy / name).read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ArtifactError, match="the fingerprint is"):
        load(copy)


def test_a_changed_configuration_is_refused(copy: Path) -> None:
    config = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps(config | {"warm_up": config["warm_up"] + 1}))
    with pytest.raises(ArtifactError, match="the fingerprint is"):
        load(copy)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"daily"', "\xff"])
def test_a_configuration_that_is_no_json_object_is_refused(copy: Path, text: str) -> None:
    (copy / "model.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ArtifactError, match=r"is not (JSON: |a JSON object)"):
        load(copy)


@pytest.mark.parametrize("given", [0, 1, 3, "2", None])
def test_another_format_is_refused(copy: Path, given: object) -> None:
    rewrite(copy, format=given)
    with pytest.raises(ArtifactError, match="this version reads format 2"):
        load(copy)


def test_a_layout_that_its_arrays_do_not_give_is_refused(copy: Path, model: Model) -> None:
    described = model.spec.layout.describe()
    described[2]["offset"] += 8
    rewrite(copy, state=described)
    with pytest.raises(ArtifactError, match="offsets"):
        load(copy)


def test_a_layout_that_is_not_the_graphs_is_refused(copy: Path, model: Model) -> None:
    rewrite(copy, state=model.spec.layout.describe()[:-1])
    with pytest.raises(ArtifactError, match="the graph's state has 816 bytes, the layout's"):
        load(copy)


def test_a_layout_with_its_arrays_in_another_order_is_refused(copy: Path, model: Model) -> None:
    described = model.spec.layout.describe()
    turned = StateLayout([*model.spec.layout.fields[1:], model.spec.layout.fields[0]]).describe()
    assert turned != described
    rewrite(copy, state=turned)
    with pytest.raises(ArtifactError, match="first step is not the forecast"):
        load(copy)


def test_a_graph_that_is_none_is_refused(copy: Path) -> None:
    (copy / "step.onnx").write_bytes(b"no graph")
    rewrite(copy)
    with pytest.raises(ArtifactError, match=r"step\.onnx"):
        load(copy)


def test_artifacts_are_found_by_name_and_version(published: Path, tmp_path: Path) -> None:
    for label in ("b/2", "b/10", "a/1", "a/draft"):
        (tmp_path / label).mkdir(parents=True)
        (tmp_path / label / "model.json").write_text("{}")
    assert find([tmp_path, published.parents[1]])[-1] == published
    assert [path.relative_to(tmp_path).as_posix() for path in find([tmp_path])] == ["a/1", "b/2", "b/10"]


@pytest.mark.parametrize("package", [models, service])
def test_no_path_reads_a_pickle(package: Any) -> None:  # noqa: ANN401 - a module
    """Neither the modules that unpickle, nor functions of torch, numpy and pandas that do."""
    modules, functions = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}, {"read_pickle", "to_pickle"}
    for path in Path(package.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not modules & {alias.name.partition(".")[0] for alias in node.names}, path
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] not in modules, path
            elif isinstance(node, ast.Attribute):
                assert node.attr not in functions, path
                assert ast.unparse(node) not in ("torch.load", "torch.save"), path
            elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert ast.unparse(node.value) == "False", path
