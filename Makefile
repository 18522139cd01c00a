# make demo   set up (once) and run the demonstration: results/demo/{bev.png,report.html,metrics.json,run.mcap}
# make test   set up (once) and run every test but those of two emulated hosts, which `make test-hosts` runs
# make mmdet3d   what detectors of mmdet3d need, see docs/mmdet3d.md
# make extras   the extras whose tests .ci/run runs too, see docs/extras.md
# Further: make lint, make bench, make clean. Another PyTorch build, for example one without 2.4 GB of CUDA:
# make demo TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
TORCH ?= torch==2.13.0
DATA ?=
VENV := .venv
RUN := $(VENV)/bin/
export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST
# Containers often forbid byte code: each process of a run would then compile PyTorch anew, for seconds.
unexport PYTHONDONTWRITEBYTECODE

# A sourced ROS 2 brings its own rclpy and messages; elsewhere they come as wheels.
ifneq ($(ROS_DISTRO),)
  VENV_OPTIONS := --system-site-packages
  EXTRAS := dev
else
  VENV_OPTIONS :=
  EXTRAS := ros,dev
endif

.PHONY: demo test test-hosts mmdet3d extras lint bench clean setup

setup: $(VENV)/ready

# PyTorch goes first and alone: asked for by another package, pip may choose a build with gigabytes of CUDA.
$(VENV)/ready: pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV_OPTIONS) $(VENV)
	$(RUN)pip install --quiet --no-compile --disable-pip-version-check $(TORCH)
	$(RUN)pip install --quiet --no-compile --disable-pip-version-check -e ".[$(EXTRAS)]"
	touch $@

demo: setup
	$(RUN)cosense demo $(if $(DATA),--data $(DATA)) --out results/demo

test: setup
	OMP_NUM_THREADS=1 $(RUN)python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder

test-hosts: setup
	OMP_NUM_THREADS=1 $(RUN)python -m pytest tests/integration -m hosts

mmdet3d: setup
	$(RUN)pip install --quiet --no-compile --disable-pip-version-check --no-deps -r requirements-mmdet3d.txt
	$(RUN)python -c "from cosense.detectors.mmdet3d import library; library()"

extras: setup
	$(RUN)pip install --quiet --no-compile --disable-pip-version-check -e ".[spconv,rerun,small_gicp]"

lint: setup
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)mypy

bench: setup
	for script in validation codecs cooperation datasets detector geometry live registration scene_graph_descriptors \
	    scene_graph_pairs registration_honesty registration_libraries worst_sequences real_clouds real_frames \
	    sharing hostile simulation report; do \
	  $(RUN)python benchmarks/$$script.py || exit 1; done

clean:
	rm -rf $(VENV) build dist results *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
