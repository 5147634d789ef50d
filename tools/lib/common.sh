# Sourced by the tools: where things are, how a preset is configured and built. Wants bash with
# `set -euo pipefail`, and sets the working directory to the top of the tree.

cairn_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$cairn_root"
cairn_venv=$cairn_root/build/venv

# What tools say is read by scripts, and times have a decimal point.
export LC_ALL=C.UTF-8

# One clone's compilations serve the next: paths below the tree count as relative.
export CCACHE_BASEDIR=$cairn_root CCACHE_NOHASHDIR=1

die() { echo "$(basename "$0"): $*" >&2; exit 1; }

# The interpreter that the extension is built for and the venv is made from: they must be one.
cairn_python() {
  local python=${CAIRN_PYTHON_EXECUTABLE:-python3}
  "$python" -c 'import sys; print(sys.executable)' 2>/dev/null ||
    die "'$python' does not run; set CAIRN_PYTHON_EXECUTABLE, or run tools/setup --python"
}

# Configures preset $1 with further cmake arguments. Quick when nothing changed.
configure_preset() {
  local preset=$1; shift
  local python
  python=$(cairn_python)
  cmake --preset "$preset" -DPython_EXECUTABLE="$python" -DPython3_EXECUTABLE="$python" "$@"
}

build_preset() {
  local preset=$1; shift
  cmake --build "build/$preset" "$@"
}

# Seconds with one decimal since $1, which $EPOCHREALTIME gave.
seconds_since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }

# Ends process $1, which this script started: asks first, insists after ten seconds.
stop_process() {
  local pid=$1 i
  kill -TERM "$pid" 2>/dev/null || return 0
  for ((i = 0; i < 100; i++)); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.1
  done
  echo "$(basename "$0"): process $pid did not stop in 10 s; killing it" >&2
  kill -KILL "$pid" 2>/dev/null || true
}
