from __future__ import annotations

from cosense.runs.doctor import software
from tests.nodes.tiny import write_model


def test_what_always_has_to_be_there_is_there():
    for finding in (*software.check_cosense(), *software.check_libraries(), *software.check_torch()):
        assert finding.level == "ok", finding


def test_a_library_that_is_missing_is_named_with_its_package():
    missing, there = software.check_libraries({"nosuchlib": "no-such-lib", "numpy": "numpy"})
    assert (missing.level, missing.cure) == ("fail", "pip install no-such-lib")
    assert (there.level, there.found.startswith("numpy ")) == ("ok", True)


def test_a_library_that_does_not_fit_numpy_says_so(tmp_path, monkeypatch):
    (tmp_path / "oldvision.py").write_text("raise ImportError('compiled using NumPy 1.x')")
    monkeypatch.syspath_prepend(tmp_path)
    (finding,) = software.check_libraries({"oldvision": "oldvision"})
    assert finding.level == "fail"
    assert "fits the installed NumPy" in finding.cure


def test_models_are_loaded_and_broken_weights_are_named(tmp_path, monkeypatch):
    good, broken, bare = (write_model(tmp_path / name) for name in ("a-good", "b-broken", "c-bare"))
    weights = broken / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    (bare / "weights.safetensors").unlink()
    monkeypatch.setattr("cosense.shipped.shipped_folders", lambda name: [tmp_path])
    first, second, third = software.check_models()
    assert (first.level, second.level, third.level) == ("ok", "fail", "ok")
    assert "a-good" in first.found
    assert "fingerprint" in first.found
    assert str(weights) in second.found
    assert "without weights" in third.found
    assert good.is_dir()


def test_the_models_that_ship_load():
    findings = software.check_models()
    assert {finding.level for finding in findings} == {"ok"}
    for name in ("cosense-lite", "node-encoder"):
        assert any(finding.found.startswith(f"{name}: ") for finding in findings)


def test_no_models_at_all_is_a_failure(monkeypatch):
    monkeypatch.setattr("cosense.shipped.shipped_folders", lambda name: [])
    (finding,) = software.check_models()
    assert finding.level == "fail"


def test_an_extra_is_told_apart_from_its_namesakes():
    assert software._asks_for("open3d", "open3d-cpu>=0.18; extra == 'open3d'")
    assert software._asks_for("open3d", 'open3d-cpu>=0.18 ; python_version < "3.13" and extra == "open3d"')
    assert not software._asks_for("open3d", "ruff; extra == 'dev'")
    assert not software._asks_for("open3d", "open3d-cpu")
