"""The models that a service would load, each with every check that loading makes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from models.artifacts import artifact
from models.artifacts.artifact import ArtifactError
from models.artifacts.runtime import describe
from service.diagnosis.findings import Finding, ok, problem
from service.sessions.registry import LoadedModel, Registry


class Models:
    """Loads them.

    Attributes:
        registry: of those that can be served; None = the service cannot start.
    """

    def __init__(self, roots: Sequence[Path], default: str) -> None:
        self.registry: Registry | None = None
        self._roots = roots
        self._default = default

    def examine(self) -> Iterator[Finding]:
        """Say how each is, and load those that are sound."""
        sound = []
        for root in self._roots:
            if not root.is_dir():
                cure = "mend HIDDENSTATE_MODELS_DIR, or make the folder"
                yield problem("models", f"there is no folder {root}", cure)
        for folder in artifact.find(self._roots):
            try:
                loaded = LoadedModel(artifact.load(folder), folder)
            except ArtifactError as error:
                cure = f"copy {folder} anew from where it was published, or publish it again; or remove it"
                yield problem("model", str(error), cure)
                continue
            sound.append(loaded)
            yield ok("model", f"{loaded.spec.label}, {loaded.fingerprint[:19]}…, keeps the law on {describe()}")
        try:
            self.registry = Registry(sound, self._default)
        except ArtifactError as error:
            yield problem("models", str(error), "mend HIDDENSTATE_DEFAULT_MODEL, or remove one of the folders")
