"""What the runs of all methods share: a frozen detector below, validation of the fused boxes, calibration.

The detector's backbone is taken from a trained model and stays as it is: what an agent finds by itself, and
so the supply and the late boxes, are calibrated by single-agent supervision already, and every step costs a
quarter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from cosense.detectors.base import BevDetector
from cosense.detectors.head import DETECTED_CLASSES, HeadMaps
from cosense.errors import CosenseError
from cosense.evaluation.metrics.average_precision import average_precision
from cosense.evaluation.metrics.matching import match_frame
from cosense.geometry.boxes import Boxes, transform_boxes
from cosense.geometry.transforms import invert
from cosense.methods.base import marked
from cosense.methods.calibration import Calibration, fit_curve
from cosense.methods.model import load_model, read_model_config, read_network
from cosense.model_folders import CONFIG, WEIGHTS, find_model, network_tensors, write_tensors
from cosense.sensing.detections import Detections, Source
from cosense.sensing.objects import ObjectClass
from cosense.training.cached import Show, silent
from cosense.training.encoded_moments import EncodedMoment, encoded_moments
from cosense.training.fusion_examples import Example, MethodRunConfig, make_example, plain_example
from cosense.training.targets import detection_losses, join_targets
from cosense.training.tasks.base import Task

_VEHICLE = DETECTED_CLASSES.index(ObjectClass.CAR)
_IOUS = (0.5, 0.7)
# A curve from fewer boxes than this would be a guess.
_FEWEST_BOXES = 30


class FusionTask(Task):
    """One method: its parameters are what a weights file holds beside or instead of the detector's.

    Attributes:
        settings: amounts that are sent in validation, by name, as `maps_of` takes them.
        detector: frozen, made the features.
        model: configuration of the model that is trained.
    """

    Config = MethodRunConfig
    settings: ClassVar[Mapping[str, Any]]
    config: MethodRunConfig
    samples: list[EncodedMoment]
    unseen: list[EncodedMoment]

    def __init__(self, config: MethodRunConfig, device: torch.device) -> None:
        super().__init__(config, device)
        self.model = read_model_config(find_model(config.model))
        try:
            detector = load_model(config.start_from, str(device)).detector
        except CosenseError as error:
            raise CosenseError(
                f"start_from: {error}; train the detector first, or name another one that is trained"
            ) from None
        if not isinstance(detector, BevDetector):
            raise CosenseError(f"start_from: '{config.start_from}' has no bird's-eye maps to share")
        self.detector = detector
        self.figures_mean = (
            "AP: vehicles, bird's-eye IoU 0.5 and 0.7, objects with at least "
            f"{config.min_points} points of any agent, fused maps alone, validation scenes."
        )

    def load(self, show: Show = silent) -> None:
        config = self.config
        self.samples = encoded_moments(config.data, config.cache, self.detector, config.start_from, show)
        self.unseen = encoded_moments(config.validation, config.cache, self.detector, config.start_from, show)

    def batch(
        self, samples: list[EncodedMoment], rng: np.random.Generator
    ) -> tuple[list[Example], np.random.Generator]:
        return [make_example(moment, self.detector, self.config, rng) for moment in samples], rng

    def losses(self, batch: tuple[list[Example], np.random.Generator]) -> dict[str, Tensor]:
        examples, rng = batch
        maps = self.drawn_maps(examples, rng)
        losses = detection_losses(maps, join_targets([example.cropped_targets for example in examples]))
        return {"loss": losses.total, "heat": losses.heat, "boxes": losses.boxes}

    def drawn_maps(self, examples: list[Example], rng: np.random.Generator) -> HeadMaps:
        """Return the fused maps (B,...) of B moments, for each of which it is drawn how much is sent."""
        raise NotImplementedError

    def maps_of(self, example: Example, setting: Any) -> HeadMaps:
        """Return the fused maps (1,...) of one moment in one of `settings`, without gradients."""
        raise NotImplementedError

    def validate(self) -> dict[str, float]:
        """Return "ap50 <setting>" and "ap70 <setting>" for each of `settings`, and `further_figures`.

        Ground truth are the vehicles within range that any agent has at least `min_points` points of.
        """
        found = self._found()
        figures: dict[str, float] = {}
        for name in self.settings:
            figures |= self._precision(name, [(one.fused[name], one) for one in found])
        return figures | self.further_figures(found)

    def further_figures(self, found: list[Found]) -> dict[str, float]:
        """Return what else is worth knowing of the boxes that were found on `unseen`."""
        return {}

    def calibrate(self) -> Calibration:
        """Fit the curve of each source and class on `unseen`; see `curves_of`."""
        return self.curves_of(self._found())

    def curves_of(self, found: list[Found]) -> Calibration:
        """Fit the curve of each source and class.

        The boxes of the ego and the others are taken as they are, the fused ones in all `settings`.
        """
        pairs: dict[tuple[str, int], list[tuple[Any, Any]]] = defaultdict(list)
        for one in found:
            sources = [("ego", one.ego), *(("late", boxes) for boxes in one.late)]
            sources += [("fused", boxes) for boxes in one.fused.values()]
            for source, boxes in sources:
                for kind in range(len(DETECTED_CLASSES)):
                    judged = self._judge(boxes, one, kind)
                    pairs[source, kind].append((judged.scores, judged.is_hit[_IOUS[0]]))
        curves: dict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
        for (source, kind), parts in pairs.items():
            scores, hits = (np.concatenate(column) for column in zip(*parts, strict=True))
            if len(scores) >= _FEWEST_BOXES:
                a, b = fit_curve(scores, hits)
                curves[source][DETECTED_CLASSES[kind].name.lower()] = a, b
        return Calibration(dict(curves))

    def _found(self) -> list[Found]:
        """Return what is found on `unseen`."""
        self.eval()
        found = []
        for moment in self.unseen:
            example = plain_example(moment, self.detector, self.config.min_points)
            fused = {name: self._fused_boxes(example, setting) for name, setting in self.settings.items()}
            late = [sender.boxes for sender in example.senders]
            truth = transform_boxes(invert(example.ego.T_sensor_level), moment.boxes)
            found.append(Found(replace(moment, boxes=truth), example.ego.detections, late, fused))
        self.train()
        return found

    def _precision(self, name: str, boxes: list[tuple[Detections, Found]]) -> dict[str, float]:
        """Return "ap50 <name>" and "ap70 <name>" of vehicles."""
        judged = [self._judge(some, one, _VEHICLE) for some, one in boxes]
        return {
            f"ap{round(100 * iou)} {name}": average_precision(
                np.concatenate([one.scores for one in judged]),
                np.concatenate([one.is_hit[iou] for one in judged]),
                sum(one.objects for one in judged),
            )
            for iou in _IOUS
        }

    def _judge(self, boxes: Detections, one: Found, kind: int) -> Judged:
        return judge(boxes, one.moment, self.detector, kind, self.config.min_points)

    def summary(self) -> str:
        below, trained = self._below(), network_tensors(self)
        total = sum(tensor.numel() for tensor in (below | trained).values())
        added = sum(tensor.numel() for name, tensor in trained.items() if name not in below)
        return (
            f"{total / 1e6:.2f} million parameters, of which {added / 1e6:.2f} million share and fuse, on "
            f"top of {self.config.start_from}."
        )

    def export(self, out: Path, command: str) -> None:
        write_tensors(self._below() | network_tensors(self), out / WEIGHTS)
        (out / CONFIG).write_text(yaml.safe_dump(self.model.to_mapping(), sort_keys=False))

    def _below(self) -> dict[str, Tensor]:
        """Return the tensors of the detector that the run starts from."""
        return network_tensors(read_network(find_model(self.config.start_from)))

    def _fused_boxes(self, example: Example, setting: Any) -> Detections:
        maps = self.maps_of(example, setting)
        fused = replace(example.ego.features, class_logits=maps.class_logits[0], box_codes=maps.box_codes[0])
        return marked(self.detector.decode(fused), Source.FUSED)


@dataclass(frozen=True)
class Found:
    """What is found at one moment, all in the ego's levelled frame.

    Attributes:
        moment: the moment, its boxes in this frame too.
        ego: the ego's own boxes.
        late: boxes of each sender.
        fused: boxes of the fused maps by setting.
    """

    moment: EncodedMoment
    ego: Detections
    late: list[Detections]
    fused: dict[str, Detections]


@dataclass(frozen=True)
class Judged:
    """Boxes of one class of one moment that count: within range, not on an object that nobody can know of.

    Attributes:
        scores: (M,).
        is_hit: (M,) bool by IoU threshold.
        objects: number of objects to find.
    """

    scores: NDArray[np.float32]
    is_hit: dict[float, NDArray[np.bool_]]
    objects: int


def judge(
    found: Detections, moment: EncodedMoment, detector: BevDetector, kind: int, min_points: int
) -> Judged:
    """Match the boxes of one class with its objects, both in one frame."""
    found = found[(found.labels == DETECTED_CLASSES[kind]) & _in_range(found.boxes, detector)]
    of_kind = (moment.classes == kind) & _in_range(moment.boxes, detector)
    enough = moment.num_points >= min_points
    truth, spared = moment.boxes[of_kind & enough], moment.boxes[of_kind & ~enough]
    hits = {iou: match_frame(found.boxes, found.scores, truth, iou) for iou in _IOUS}
    counted = hits[_IOUS[0]] | ~match_frame(found.boxes, found.scores, spared, _IOUS[0])
    return Judged(found.scores[counted], {iou: hit[counted] for iou, hit in hits.items()}, len(truth))


def _in_range(boxes: Boxes, detector: BevDetector) -> NDArray[np.bool_]:
    return detector.grid.contains(boxes[:, :3])
