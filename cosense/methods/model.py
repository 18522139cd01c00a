"""Models: a detector and, if they share features, a method, from one folder of `models/`.

config.yaml says which:

    detector: pillars                  # module of cosense/detectors
    range_m: […]                       # the detector's own keys: the fields of its `Config`
    sharing: {method: patches, …}      # folder of cosense/methods and the fields of its `Config`; optional

weights.safetensors holds the tensors of both networks, calibration.json the curves of scores.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

import cosense.detectors
import cosense.methods
from cosense import plugins
from cosense.config import from_mapping, load_yaml, to_mapping
from cosense.detectors.base import BevDetector, Detector
from cosense.errors import CosenseError, shown
from cosense.methods.base import Method
from cosense.methods.calibration import read_calibration
from cosense.model_folders import CONFIG, fill, find_model, fingerprint, network_tensors, read_weights

_METHOD_MODULE = "method"


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
    """

    detector_name: str
    detector_type: type[Detector]
    detector: Any
    method_name: str | None
    method_type: type[Method] | None
    sharing: Any
    where: str

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


def load_model(name_or_folder: str | Path, device: str = "cpu") -> Model:
    """Return a trained model.

    Args:
        name_or_folder: a name below `models/`, or a path to such a folder.
        device: name of a torch device.

    Raises:
        CosenseError: unknown model, broken configuration, weights missing, broken or of another network,
            or a device that is not there.
    """
    folder = find_model(name_or_folder)
    config = read_model_config(folder)
    tensors, data = read_weights(folder)
    network, others = _filled(config, tensors, folder)
    detector = config.detector_type(
        folder.resolve().name,
        config.detector,
        network,
        fingerprint=fingerprint(config.to_mapping(), data),
        weights_sha256=hashlib.sha256(data).hexdigest() if data else "",
        device=device,
    )
    if config.method_type is None:
        return Model(detector.name, detector)
    if not isinstance(detector, BevDetector):
        raise CosenseError(
            f"{config.where}: sharing needs bird's-eye maps, detector '{config.detector_name}' has none"
        )
    try:
        sharing = config.method_type.build(config.sharing, detector, seed=0)
    except ValueError as error:
        raise CosenseError(f"{config.where}: {error}") from None
    fill(sharing, others, folder)
    method = config.method_type(config.sharing, detector, sharing, read_calibration(folder))
    return Model(detector.name, detector, method)


def read_network(folder: Path) -> nn.Module:
    """Return the detector's network of a model folder with its weights, ready to be trained further.

    Raises:
        CosenseError: as `load_model`.
    """
    return _filled(read_model_config(folder), read_weights(folder)[0], folder)[0]


def _filled(
    config: ModelConfig, tensors: dict[str, Tensor], folder: Path
) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return the detector's network, filled, and the tensors that are the method's."""
    network = config.detector_type.build(config.detector, seed=0)
    names = network_tensors(network).keys()
    # Without a method, what the detector does not know is superfluous: an error that `fill` reports.
    others = {name: t for name, t in tensors.items() if name not in names and config.method_type is not None}
    fill(network, {name: tensor for name, tensor in tensors.items() if name not in others}, folder)
    return network, others


def read_model_config(folder: Path) -> ModelConfig:
    """Return the configuration of a model folder; weights are not needed.

    Raises:
        CosenseError: the file is broken, or names a detector or a method that there is not.
    """
    path = folder / CONFIG
    return model_config(load_yaml(path), str(path))


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
