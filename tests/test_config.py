"""YAML to dataclasses: what is accepted, and that each mistake is one message with the key and the cure."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cosense.config import from_mapping, load_config, load_yaml, to_mapping
from cosense.errors import CosenseError, nearest
from cosense.trust.base import TrustSettings


@dataclass(frozen=True)
class Noise:
    sigma_m: float
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sigma_m < 0:
            raise ValueError(f"sigma_m is {self.sigma_m}, expected at least 0")


@dataclass(frozen=True)
class Settings:
    name: str
    range_m: tuple[float, float]
    fusion: Literal["none", "late", "early"] = "late"
    rate: float = 10.0
    workers: int = 2
    resume: bool = False
    budget_bytes: int | None = None
    noise: Noise = field(default_factory=lambda: Noise(0.0))
    late_noise: Noise | None = None
    strides: tuple[int, ...] = (1, 2)
    agents: list[str] = field(default_factory=list)
    limits: dict[str, float] = field(default_factory=dict)
    stages: tuple[Noise, ...] = ()
    out: Path = Path("results")
    extra: Any = None


LEAST = {"name": "demo", "range_m": [-50, 50]}


def read(**changes: Any) -> Settings:
    return from_mapping(Settings, {**LEAST, **changes}, where="demo.yaml")


def test_defaults_fill_what_is_not_said():
    assert read() == Settings("demo", (-50.0, 50.0))
    assert isinstance(read().range_m[0], float)


def test_every_kind_of_value():
    settings = read(
        fusion="early", rate=5, workers=3, resume=True, budget_bytes=4000, noise={"sigma_m": 0.2, "seed": 7},
        late_noise={"sigma_m": 1}, strides=[1, 2, 4], agents=["car"], limits={"ap": 1, 3: 0.5},
        stages=[{"sigma_m": 1}, {"sigma_m": 2, "seed": 3}], out="here/there", extra=[1, "x", {"y": None}],
    )  # fmt: skip
    assert settings == Settings(
        name="demo", range_m=(-50.0, 50.0), fusion="early", rate=5.0, workers=3, resume=True,
        budget_bytes=4000, noise=Noise(0.2, 7), late_noise=Noise(1.0), strides=(1, 2, 4), agents=["car"],
        limits={"ap": 1.0, "3": 0.5}, stages=(Noise(1.0), Noise(2.0, 3)), out=Path("here/there"),
        extra=[1, "x", {"y": None}],
    )  # fmt: skip
    assert read(budget_bytes=None, late_noise=None).budget_bytes is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"worker": 2}, "demo.yaml: unknown key 'worker', did you mean 'workers'?"),
        ({"zzz": 2}, "demo.yaml: unknown key 'zzz', known: agents, budget_bytes, extra"),
        ({7: 2}, "demo.yaml: unknown key '7', known: "),
        ({"noise": {"sigma": 1}}, "demo.yaml: noise: unknown key 'sigma', did you mean 'sigma_m'?"),
        ({"noise": {}}, "demo.yaml: noise: missing key 'sigma_m'"),
        ({"noise": 3}, "demo.yaml: noise: expected a mapping of keys, got 3"),
        ({"noise": None}, "demo.yaml: noise: expected a mapping of keys, got None"),
        ({"noise": {"sigma_m": -1}}, "demo.yaml: noise: sigma_m is -1.0, expected at least 0"),
        ({"stages": [{"sigma_m": 1}, {"seed": 2}]}, "demo.yaml: stages[1]: missing key 'sigma_m'"),
        ({"workers": "two"}, "demo.yaml: workers: expected int, got 'two'"),
        ({"workers": 2.0}, "demo.yaml: workers: expected int, got 2.0"),
        ({"workers": True}, "demo.yaml: workers: expected int, got True"),
        ({"workers": None}, "demo.yaml: workers: expected int, got None"),
        ({"rate": "fast"}, "demo.yaml: rate: expected float, got 'fast'"),
        ({"rate": False}, "demo.yaml: rate: expected float, got False"),
        ({"resume": 1}, "demo.yaml: resume: expected bool, got 1"),
        ({"name": 5}, "demo.yaml: name: expected str, got 5"),
        ({"budget_bytes": "4k"}, "demo.yaml: budget_bytes: expected int, got '4k'"),
        ({"out": 5}, "demo.yaml: out: expected Path, got 5"),
        ({"range_m": [1]}, "demo.yaml: range_m: expected 2 values, got 1"),
        ({"range_m": [1, 2, 3]}, "demo.yaml: range_m: expected 2 values, got 3"),
        ({"range_m": 50}, "demo.yaml: range_m: expected a list, got 50"),
        ({"range_m": [1, "x"]}, "demo.yaml: range_m[1]: expected float, got 'x'"),
        ({"strides": [1, 2.5]}, "demo.yaml: strides[1]: expected int, got 2.5"),
        ({"agents": "car"}, "demo.yaml: agents: expected a list, got 'car'"),
        ({"limits": [1]}, "demo.yaml: limits: expected a mapping of keys, got [1]"),
        ({"limits": {"ap": "high"}}, "demo.yaml: limits.ap: expected float, got 'high'"),
        ({"fusion": "latte"}, "demo.yaml: fusion: 'latte' is not allowed, did you mean 'late'?"),
        ({"fusion": 3}, "demo.yaml: fusion: 3 is not allowed, known: early, late, none"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_value(changes, message):
    with pytest.raises(CosenseError) as caught:
        from_mapping(Settings, {**LEAST, **changes}, where="demo.yaml")
    assert str(caught.value).startswith(message)


def test_a_missing_key_is_named():
    with pytest.raises(CosenseError, match=r"demo\.yaml: missing key 'range_m'"):
        from_mapping(Settings, {"name": "demo"}, where="demo.yaml")


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 1e-3), ("2E4", 2e4), ("-1.5e2", -150), ("1.0e-3", 1e-3), ("7", 7)]
)
def test_numbers_with_an_exponent(text, value):
    assert read(rate=yaml.safe_load(text)).rate == value


values = st.fixed_dictionaries(
    {"name": st.text(), "range_m": st.tuples(st.floats(-9, 9), st.floats(-9, 9)).map(list)},
    optional={
        "fusion": st.sampled_from(["none", "late", "early"]),
        "rate": st.floats(allow_nan=False),
        "workers": st.integers(),
        "resume": st.booleans(),
        "budget_bytes": st.none() | st.integers(),
        "noise": st.fixed_dictionaries({"sigma_m": st.floats(0, 5)}, optional={"seed": st.integers()}),
        "late_noise": st.none() | st.fixed_dictionaries({"sigma_m": st.floats(0, 5)}),
        "strides": st.lists(st.integers()),
        "agents": st.lists(st.text()),
        "limits": st.dictionaries(st.text(), st.floats(allow_nan=False)),
        "stages": st.lists(st.fixed_dictionaries({"sigma_m": st.floats(0, 5)})),
        "out": st.sampled_from(["a", "a/b", "/tmp"]),
    },
)


@given(values)
def test_settings_survive_being_written(mapping):
    settings = from_mapping(Settings, mapping, where="test")
    plain = to_mapping(settings)
    for key, value in mapping.items():
        if not isinstance(value, (dict, list)):
            assert plain[key] == value
    assert from_mapping(Settings, plain, where="test") == settings
    assert from_mapping(Settings, yaml.safe_load(yaml.safe_dump(plain)), where="test") == settings


def test_files(tmp_path):
    path = tmp_path / "demo.yaml"
    path.write_text("name: demo\nrange_m: [-50, 50]\nnoise: {sigma_m: 1e-2}\n")
    assert load_config(Settings, path) == Settings("demo", (-50.0, 50.0), noise=Noise(0.01))
    assert load_yaml(path)["name"] == "demo"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: [1, 2", "not readable as YAML"),
        (b"name: \xff\xfe", "not readable as YAML"),
        (b"just text", "expected a mapping of keys, got 'just text'"),
        (b"[]", r"expected a mapping of keys, got \[\]"),
        (b"", "missing key 'name'"),
        (b"[" * 5000, "nested too deeply|not readable as YAML"),
        (b"a: &a [0]\nb: &b [*a" + b", *a" * 999 + b"]\nc: [*b" + b", *b" * 999 + b"]", "aliases .* 100000"),
        (b"&a [*a]", "aliases"),
        (b"name: demo\nrange_n: [1, 2]", "unknown key 'range_n', did you mean 'range_m'?"),
    ],
)
def test_a_broken_file_is_one_line_with_its_name(tmp_path, content, message):
    path = tmp_path / "demo.yaml"
    path.write_bytes(content)
    with pytest.raises(CosenseError, match=message) as caught:
        load_config(Settings, path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(CosenseError, match=r"none\.yaml: no such file"):
        load_config(Settings, tmp_path / "none.yaml")
    with pytest.raises(CosenseError, match="cannot be read"):
        load_config(Settings, tmp_path)


def test_the_nearest_name():
    assert nearest("pilars-lite", ["pillars-paper", "pillars-lite"]) == "did you mean 'pillars-lite'?"
    assert nearest("second", ["pillars-lite", "a"]) == "known: a, pillars-lite"
    assert nearest("anything", []) == "known: none"


def test_the_word_off_is_what_it_says_where_it_is_one_of_some(tmp_path: Path) -> None:
    """YAML 1.1 reads it as false."""
    path = tmp_path / "trust.yaml"
    for text, identity in (("identity: off", "off"), ('identity: "off"', "off"), ("identity: warn", "warn")):
        path.write_text(text)
        assert load_config(TrustSettings, path).identity == identity
    path.write_text("identity: on")
    with pytest.raises(CosenseError, match="identity: True is not allowed, known: enforce, off, warn"):
        load_config(TrustSettings, path)
