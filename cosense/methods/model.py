"""Models: a detector and, if they share features, a method, from one folder of `models/`.

config.yaml says which:

    detector: pillars                  # module of cosense/detectors
    range_m: […]                       # the detector's own keys: the fields of its `Config`
    sharing: {method: patches, …}      # folder of cosense/methods and the fields of its `Config`; optional

weights.safetensors holds the tensors of both networks, calibration.json the curves of scores.

A detector whose weights are elsewhere, as those of mmdet3d, needs no folder: a scenario, or the command line,
holds its keys below its name, `model: {mmdet3d: {config: …, checkpoint: …, classes: …}}`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from torch import Tensor, nn

import cosense.detectors
import cosense.methods
from cosense import plugins
from cosense.config import YAML_LOADER, beside, from_mapping, load_yaml, to_mapping, with_paths
from cosense.detectors.base import BevDetector, Detector
from cosense.errors import CosenseError, shown
from cosense.methods.base import Method
from cosense.methods.calibration import read_calibration
from cosense.model_folders import CONFIG, fill, find_model, fingerprint, network_tensors, read_weights

_METHOD_MODULE = "method"

# A name below `models/`, a folder, a file that names or describes a model, or the description itself.
GivenModel: TypeAlias = str | Path | Mapping[str, Any]


@dataclass(frozen=True)
class ModelConfig:
    """The content of config.yaml, checked.

    Attributes:
        detector_name: value of `detector`.
        detector_type: class of that name.
        detector: its `Config`.
        method_name: value of `sharing.method`, None for a model that shares boxes and points only.
        method_type: class of that name.
        sharing: its `Config`.
        where: path of the file, for errors.
        folder: of the weights, None for a detector that has them elsewhere.
    """

    detector_name: str
    detector_type: type[Detector]
    detector: Any
    method_name: str | None
    method_type: type[Method] | None
    sharing: Any
    where: str
    folder: Path | None = None

    def to_mapping(self) -> dict[str, Any]:
        """Return the whole configuration, defaults included, as config.yaml would hold it."""
        mapping = {"detector": self.detector_name, **to_mapping(self.detector)}
        if self.method_name is not None:
            mapping["sharing"] = {"method": self.method_name, **to_mapping(self.sharing)}
        return mapping


@dataclass(frozen=True)
class Model:
    """What an agent runs.

    Attributes:
        name: the folder's name.
        detector: finds objects in the agent's own frames.
        method: shares features; None for a model that shares boxes and points only.
    """

    name: str
    detector: Detector
    method: Method | None = None

    @property
    def method_name(self) -> str | None:
        """Name of the method as in config.yaml, that of its folder; None without one."""
        return None if self.method is None else type(self.method).__module__.split(".")[-2]


def load_model(given: GivenModel, device: str = "cpu") -> Model:
    """Return a trained model.

    Args:
        given: a name below `models/`, or what else `find_model_config` reads.
        device: name of a torch device.

    Raises:
        CosenseError: unknown model, broken configuration, weights missing, broken or of another network,
            or a device that is not there.
    """
    name, config = find_model_config(given)
    tensors, data = read_weights(config.folder) if config.folder else ({}, b"")
    network, others = _filled(config, tensors)
    detector = config.detector_type(
        name,
        config.detector,
        network,
        fingerprint=fingerprint(config.to_mapping(), data),
        weights_sha256=hashlib.sha256(data).hexdigest() if data else "",
        device=device,
    )
    if config.method_type is None:
        return Model(detector.name, detector)
    assert config.folder is not None
    if not isinstance(detector, BevDetector):
        raise CosenseError(
            f"{config.where}: sharing needs bird's-eye maps, detector '{config.detector_name}' has none"
        )
    try:
        sharing = config.method_type.build(config.sharing, detector, seed=0)
    except ValueError as error:
        raise CosenseError(f"{config.where}: {error}") from None
    fill(sharing, others, config.folder)
    method = config.method_type(config.sharing, detector, sharing, read_calibration(config.folder))
    return Model(detector.name, detector, method)


def read_network(folder: Path) -> nn.Module:
    """Return the detector's network of a model folder with its weights, ready to be trained further.

    Raises:
        CosenseError: as `load_model`.
    """
    return _filled(read_model_config(folder), read_weights(folder)[0])[0]


def _filled(config: ModelConfig, tensors: dict[str, Tensor]) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return the detector's network, filled, and the tensors that are the method's."""
    network = config.detector_type.build(config.detector, seed=0)
    names = network_tensors(network).keys()
    if config.folder is None:
        if names:
            raise CosenseError(
                f"{config.where}: its weights are in a folder with a config.yaml, name that as model"
            )
        return network, {}
    # Without a method, what the detector does not know is superfluous: an error that `fill` reports.
    others = {name: t for name, t in tensors.items() if name not in names and config.method_type is not None}
    fill(network, {name: tensor for name, tensor in tensors.items() if name not in others}, config.folder)
    return network, others


def read_model_config(folder: Path) -> ModelConfig:
    """Return the configuration of a model folder; weights are not needed.

    Raises:
        CosenseError: the file is broken, or names a detector or a method that there is not.
    """
    path = folder / CONFIG
    config = model_config(load_yaml(path), str(path))
    placed = with_paths(config.detector, lambda name: beside(path, name))
    return replace(config, detector=placed, folder=folder)


def find_model_config(given: GivenModel) -> tuple[str, ModelConfig]:
    """Return the name and the configuration of a model; weights are not read.

    Args:
        given: a name below `models/`; a folder as there; a scenario, of which its model is taken; or a
            detector with its keys, as a mapping or as that in YAML: {mmdet3d: {...}}.

    Raises:
        CosenseError: there is no such model, or its configuration is broken.
    """
    if isinstance(given, str) and given.lstrip().startswith("{"):
        try:
            given = yaml.load(given, Loader=YAML_LOADER)
        except yaml.YAMLError:
            raise CosenseError(f"model {given}: not readable as YAML") from None
    if isinstance(given, Mapping):
        config = _inline_config(given)
        return config.detector_name, config
    path = Path(given)
    if path.is_file() and path.suffix in (".yaml", ".yml"):
        return _model_of_scenario(path)
    folder = find_model(given)
    return folder.resolve().name, read_model_config(folder)


def as_text(given: str | Mapping[str, Any]) -> str:
    """Return a model as one text that `load_model` takes, whatever form it is given in."""
    return given if isinstance(given, str) else json.dumps(given)


def with_model_paths(given: Mapping[str, Any], place: Callable[[Path], Path]) -> dict[str, Any]:
    """Return a model that is given by a detector and its keys, with each path replaced by `place` of it."""
    config = _inline_config(given)
    return {config.detector_name: to_mapping(with_paths(config.detector, place))}


def _inline_config(given: Mapping[str, Any]) -> ModelConfig:
    """Return the configuration that {detector: {keys}} describes."""
    if len(given) != 1:
        raise CosenseError(
            f"model: expected a name, a folder, or one detector with its keys, as {{mmdet3d: {{...}}}}, got "
            f"{shown(given)}"
        )
    ((name, keys),) = given.items()
    if not isinstance(keys, Mapping):
        raise CosenseError(f"model: {name}: expected a mapping of keys, got {shown(keys)}")
    if "sharing" in keys:
        raise CosenseError(f"model: {name}: sharing needs a folder with a config.yaml and weights")
    return model_config({"detector": name, **keys}, f"model: {name}")


def _model_of_scenario(path: Path) -> tuple[str, ModelConfig]:
    """Return the model that a scenario names or describes, named like its file in the latter case."""
    mapping = load_yaml(path)
    model = mapping.get("model") if isinstance(mapping, Mapping) else None
    if not model:
        raise CosenseError(
            f"{path}: no model: expected a folder with a config.yaml, or a scenario with 'model'"
        )
    agents = mapping.get("agents")
    if isinstance(agents, list) and any(isinstance(agent, Mapping) and "model" in agent for agent in agents):
        raise CosenseError(
            f"{path}: its agents have models of their own, name the folder of one; different detectors for "
            "vehicles and roadside units are one model of mmdet3d with 'infrastructure', see docs/mmdet3d.md"
        )
    if isinstance(model, Mapping):
        return path.stem, _inline_config(with_model_paths(model, lambda name: beside(path, name)))
    return find_model_config(str(beside(path, Path(str(model)))))


def model_config(mapping: Any, where: str) -> ModelConfig:
    """Return the configuration that a mapping, read from `where`, describes; see `read_model_config`."""
    if not isinstance(mapping, Mapping):
        raise CosenseError(f"{where}: expected a mapping with the key 'detector', got {shown(mapping)}")
    keys = dict(mapping)
    sharing = keys.pop("sharing", None)
    methods = plugins.class_names(cosense.methods, Method, _METHOD_MODULE)
    for key in sorted(keys.keys() & set(methods)):
        raise CosenseError(
            f"{where}: unknown key '{key}', a method is given as sharing: {{method: {key}, …}}"
        )
    name = _name_in(keys, "detector", where)
    detector_type = plugins.load_class(cosense.detectors, name, Detector, f"{where}: detector")  # type: ignore[type-abstract]
    detector: Any = from_mapping(_config_of(detector_type), keys, where)
    if sharing is None:
        return ModelConfig(name, detector_type, detector, None, None, None, where)
    if not isinstance(sharing, Mapping):
        raise CosenseError(
            f"{where}: sharing: expected a mapping with the key 'method', got {shown(sharing)}"
        )
    settings = dict(sharing)
    method = _name_in(settings, "method", f"{where}: sharing")
    method_type = plugins.load_class(
        cosense.methods,
        method,
        Method,  # type: ignore[type-abstract]
        f"{where}: sharing.method",
        _METHOD_MODULE,
    )
    shared: Any = from_mapping(_config_of(method_type), settings, f"{where}: sharing")
    return ModelConfig(name, detector_type, detector, method, method_type, shared, where)


def _config_of(plugin: type) -> type:
    """Return the configuration of a detector or method, the class attribute `Config`."""
    found = getattr(plugin, "Config", None)
    if not is_dataclass(found):
        raise CosenseError(
            f"{plugin.__module__}: {plugin.__name__}.Config is {found!r}, expected a dataclass"
        )
    return found  # type: ignore[return-value]


def _name_in(mapping: dict[str, Any], key: str, where: str) -> str:
    """Take the name of a plug-in out of a mapping."""
    if key not in mapping:
        raise CosenseError(f"{where}: missing key '{key}'")
    return str(mapping.pop(key))
