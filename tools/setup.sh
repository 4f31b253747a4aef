# Sourced by ./exafleet and ./check: leaves $python pointing at an interpreter with exafleet installed.
#
# POSIX sh only (macOS has bash 3.2 and no readlink -f). Expects $root, the folder of the checkout.
#   EXAFLEET_PYTHON   interpreter to build the environment with (default: the newest of python3.13 ... python3)
#   EXAFLEET_VENV     where the environment goes (default: .venv beside this checkout)
#   EXAFLEET_TORCH    PyTorch for ./check, as pip takes it (default: the release below, as the index offers it)
venv=${EXAFLEET_VENV:-$root/.venv}
case $venv in /*) ;; *) venv=$PWD/$venv ;; esac
python=$venv/bin/python
unset PYTHONHOME PYTHONPATH CDPATH

say() { printf '%s\n' "$*" >&2; }
die() { say "exafleet: $*"; exit 1; }

# A name on the PATH proves nothing (a pyenv shim exists for versions that are not there), so each one is run.
usable() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 </dev/null; }

find_python() {
    for name in ${EXAFLEET_PYTHON:+"$EXAFLEET_PYTHON"} python3.13 python3.12 python3.11 python3 python; do
        if command -v "$name" >/dev/null 2>&1 && usable "$name"; then
            printf '%s\n' "$name"
            return
        fi
        [ -z "${EXAFLEET_PYTHON:-}" ] || break
    done
    [ -z "${EXAFLEET_PYTHON:-}" ] || die "EXAFLEET_PYTHON=$EXAFLEET_PYTHON is not a Python >= 3.11 with venv and pip."
    die "needs Python 3.11 or newer with venv and pip, and found none on the PATH.
  Debian, Ubuntu:  sudo apt install python3 python3-venv
  macOS:           brew install python@3.13
  another place:   EXAFLEET_PYTHON=/path/to/python3 $0"
}

# The environment holds absolute paths, so its stamp names this folder: a moved or copied tree does not match.
wanted_stamp() { printf '%s %s %s' "$1" "$(cksum <"$root/pyproject.toml")" "$root"; }
stamped() { [ -x "$python" ] && [ "$(cat "$venv/stamp-$1" 2>/dev/null)" = "$(wanted_stamp "$1")" ]; }
here() { [ -x "$python" ] && [ "$(cat "$venv/stamp-root" 2>/dev/null)" = "$root" ]; }

# Two first runs at once must not install into one folder: the second waits, unless the first has died.
lock() {
    until mkdir "$venv.lock" 2>/dev/null; do
        [ -d "$venv.lock" ] || die "cannot write beside $venv. Name a place for the environment: EXAFLEET_VENV=/some/folder $0"
        owner=$(cat "$venv.lock/pid" 2>/dev/null)
        if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; then
            rm -rf "$venv.lock"
        else
            sleep 1
        fi
    done
    echo $$ >"$venv.lock/pid"
    trap 'rm -rf "$venv.lock"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

unlock() {
    rm -rf "$venv.lock"
    trap - EXIT INT TERM HUP
}

make_venv() {
    base=$(find_python) || exit 1
    [ ! -e "$venv" ] || [ -e "$venv/pyvenv.cfg" ] || die "$venv exists and is no Python environment; move it away."
    rm -rf "$venv"
    "$base" -m venv "$venv" >&2 </dev/null || die "$base could not make $venv."
    printf '%s' "$root" >"$venv/stamp-root"
}

install() {
    log=$venv/install.log
    "$python" -m pip install --quiet --disable-pip-version-check --no-input --editable "$root$2" >"$log" 2>&1 </dev/null || {
        tail -n 15 "$log" >&2
        die "pip could not install exafleet; everything it said is in $log. Mend the cause and run $0 again."
    }
    [ "$1" = base ] || wanted_stamp base >"$venv/stamp-base"
    wanted_stamp "$1" >"$venv/stamp-$1"
}

# set_up base | set_up dev: does nothing when the stamp says it was done for this folder and this pyproject.toml.
set_up() {
    stamped "$1" && return
    lock
    if ! stamped "$1"; then
        say "exafleet: setting up $venv (about a minute, once) ..."
        here || make_venv
        if [ "$1" = dev ]; then install dev '[dev]'; else install base ''; fi
    fi
    unlock
}

# set_up_torch: PyTorch in the same environment, one release, so that the tests that run it mean the same everywhere.
set_up_torch() {
    stamped torch && return
    lock
    if ! stamped torch; then
        say "exafleet: adding PyTorch to $venv (some minutes, once) ..."
        "$python" -m pip install --quiet --disable-pip-version-check --no-input "${EXAFLEET_TORCH:-torch==2.13.0}" \
            >"$venv/install.log" 2>&1 </dev/null || {
            tail -n 15 "$venv/install.log" >&2
            die "pip could not install PyTorch; everything it said is in $venv/install.log."
        }
        wanted_stamp torch >"$venv/stamp-torch"
    fi
    unlock
}
