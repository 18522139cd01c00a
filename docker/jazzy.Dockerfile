# Builds the workspace of README.md, "With ROS 2", on ROS 2 Jazzy:
#   docker build -f docker/jazzy.Dockerfile -t cosense .  &&  docker run --rm cosense
# The commands are those of README.md; the image itself has not been built by its authors yet.
FROM ros:jazzy
SHELL ["/bin/bash", "-c"]
RUN apt-get update && apt-get install -y python3-venv
WORKDIR /ws
COPY . src/cosense
RUN rosdep update && rosdep install --from-paths src --ignore-src -y
RUN python3 -m venv --system-site-packages .venv \
    && .venv/bin/pip install torch --index-url https://download.pytorch.org/whl/cpu \
    && .venv/bin/pip install -r src/cosense/requirements-ros.txt
RUN source /opt/ros/jazzy/setup.bash && colcon build --packages-select cosense
CMD source install/setup.bash && export PYTHONPATH=$PYTHONPATH:$(echo $PWD/.venv/lib/python3*/site-packages) \
    && ros2 launch cosense scenario.launch.py scenario:=v2i.yaml
