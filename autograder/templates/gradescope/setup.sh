#!/usr/bin/env bash
# Gradescope runs this once, as root, to build the image: Python, the grader's packages, bubblewrap.
set -euo pipefail
source=${AUTOGRADER:-/autograder}/source
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends bubblewrap libseccomp2 python3-pip ca-certificates
python3 -m pip install --quiet uv || python3 -m pip install --quiet --break-system-packages uv
# Python goes below /opt, where the user that runs the students' code can read it.
export UV_PYTHON_INSTALL_DIR=/opt/python UV_CACHE_DIR=/tmp/uv
uv venv --quiet --python 3.12 --python-preference only-managed /opt/grader
uv pip install --quiet --python /opt/grader/bin/python --torch-backend cpu \
    --requirements "$source/packages.txt" --constraints "$source/versions.txt"
rm -rf /tmp/uv
chmod 700 "$source"
