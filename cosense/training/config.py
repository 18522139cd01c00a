"""What a training run is: the YAML that `cosense train` reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cosense.training.augment import AugmentationConfig


@dataclass(frozen=True)
class SceneConfig:
    """Simulated scenes: sequence n is family n modulo their number, with seed first_seed + n.

    Attributes:
        families: of `cosense.simulation.FAMILIES`.
        first_seed: of the first sequence.
        sequences: how many.
        frames_per_sequence: used of each.
        frame_step: use every n-th simulated frame (10 a second), neighbours are all but the same.
        vehicles: that measure; a roadside unit always does.
    """

    families: tuple[str, ...]
    first_seed: int
    sequences: int
    frames_per_sequence: int = 1
    frame_step: int = 1
    vehicles: int = 1

    def __post_init__(self) -> None:
        if not self.families:
            raise ValueError("families is empty")
        if min(self.sequences, self.frames_per_sequence, self.frame_step, self.vehicles) < 1:
            raise ValueError("sequences, frames_per_sequence, frame_step and vehicles are at least 1")


@dataclass(frozen=True)
class DataConfig:
    """Where samples come from: scenes, data sets on disk, or both.

    Attributes:
        scenes: simulated once, then cached.
        paths: data sets that `cosense.data.open_dataset` opens.
        split: of those.
    """

    scenes: SceneConfig | None = None
    paths: tuple[Path, ...] = ()
    split: str | None = None

    def __post_init__(self) -> None:
        if self.scenes is None and not self.paths:
            raise ValueError("neither scenes nor paths is given")


@dataclass(frozen=True)
class TrainingConfig:
    """A training run.

    Attributes:
        model: folder whose config.yaml says which network.
        train: what is learned from.
        validation: what is never learned from.
        cache: folder for simulated samples.
        seed: of the weights, the order and the augmentation.
        epochs: passes over the samples; or
        minutes: of wall time, the learning rate follows the clock.
        batch_size: clouds a step and process.
        learning_rate: at its peak.
        weight_decay: of AdamW.
        gradient_norm: gradients longer than this are shortened to it.
        crop_m: a step sees a part of the range this long in x; None for all of it.
        min_points: an object with fewer is not judged.
        workers: processes that load and augment.
        checkpoint_minutes: between two checkpoints.
        validation_minutes: between two validations.
        device: a torch device.
        augmentation: of the clouds.
    """

    model: Path
    train: DataConfig
    validation: DataConfig
    cache: Path = Path("results/cache")
    seed: int = 1
    epochs: int | None = None
    minutes: float | None = None
    batch_size: int = 4
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    gradient_norm: float = 10.0
    crop_m: float | None = None
    min_points: int = 3
    workers: int = 1
    checkpoint_minutes: float = 3.0
    validation_minutes: float = 10.0
    device: str = "cpu"
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.minutes is None):
            raise ValueError("give either epochs or minutes")
        if self.epochs is not None and self.epochs < 1:
            raise ValueError(f"epochs is {self.epochs}, expected at least 1")
        if self.minutes is not None and not self.minutes > 0:
            raise ValueError(f"minutes is {self.minutes:g}, expected more than 0")
        if self.batch_size < 1 or self.workers < 0 or self.learning_rate <= 0:
            raise ValueError("batch_size, workers or learning_rate is too small")


@dataclass(frozen=True)
class CooperativeTrainingConfig:
    """A training run of what agents share and how it is fused; the detector below it stays as it is.

    Attributes:
        model: folder whose config.yaml has `sharing`.
        start_from: trained detector of the same layers, from which the weights are taken.
        train: scenes that are learned from, simulated once, then cached.
        validation: scenes that are never learned from.
        cache: folder for simulated clouds and their features.
        seed: of the weights, the order and every random choice.
        steps: of the optimiser.
        batch_size: moments a step.
        learning_rate: at its peak.
        weight_decay: of AdamW.
        gradient_norm: gradients longer than this are shortened to it.
        crop_m: a step sees a part of the ego's range this long in x.
        min_points: an object with fewer on every agent is not judged.
        noisy: probability that the poses of a moment are wrong.
        pose_noise_m: largest standard deviation of the position error of a sender then.
        pose_noise_deg: likewise of its heading.
        earlier: probability that a message is one period (100 ms) old.
        drop: probability that a sender is silent.
        validation_steps: between two validations.
        device: a torch device.
    """

    model: Path
    start_from: str
    train: tuple[SceneConfig, ...]
    validation: tuple[SceneConfig, ...]
    cache: Path = Path("results/cache")
    seed: int = 1
    steps: int = 3000
    batch_size: int = 4
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    gradient_norm: float = 10.0
    crop_m: float = 76.8
    min_points: int = 5
    noisy: float = 0.3
    pose_noise_m: float = 0.3
    pose_noise_deg: float = 0.3
    earlier: float = 0.1
    drop: float = 0.1
    validation_steps: int = 1000
    device: str = "cpu"

    def __post_init__(self) -> None:
        _check_run(self)
        for name in ("noisy", "earlier", "drop"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number in [0, 1]")


@dataclass(frozen=True)
class EncoderTrainingConfig:
    """A training run of a node encoder of scene graphs, see `scene_graph.describe.node_encoder`.

    Attributes:
        encoder: folder whose encoder.yaml says which network.
        detector: whose boxes the graphs have.
        train: scenes that are learned from; a pair for each two agents of each.
        validation: scenes that are never learned from.
        cache: folder for simulated clouds and their graphs.
        seed: of the weights, the order and every random choice.
        steps: of the optimiser.
        batch_size: pairs a step.
        learning_rate: at its peak.
        weight_decay: of AdamW.
        gradient_norm: gradients longer than this are shortened to it.
        drop: largest share of nodes that a graph loses in a step.
        extra: largest share of nodes that are added to it.
        noise_m: largest standard deviation, per axis, by which its nodes are moved.
        unmatched: weight of the loss of nodes without a partner.
    """

    encoder: Path
    detector: str
    train: tuple[SceneConfig, ...]
    validation: tuple[SceneConfig, ...]
    cache: Path = Path("results/cache")
    seed: int = 1
    steps: int = 1500
    batch_size: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    gradient_norm: float = 10.0
    drop: float = 0.1
    extra: float = 0.1
    noise_m: float = 0.05
    unmatched: float = 0.5

    def __post_init__(self) -> None:
        _check_run(self)
        for name in ("drop", "extra"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number in [0, 1)")
        if not self.noise_m >= 0:
            raise ValueError(f"noise_m is {self.noise_m}, expected at least 0")


def _check_run(run: CooperativeTrainingConfig | EncoderTrainingConfig) -> None:
    """Raise ValueError for what no run of so many steps can do without."""
    if not run.train or not run.validation:
        raise ValueError("train and validation need one entry each")
    if run.steps < 1 or run.batch_size < 1 or run.learning_rate <= 0:
        raise ValueError("steps, batch_size or learning_rate is too small")
