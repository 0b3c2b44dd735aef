#!/usr/bin/env bash
# Set up what the book needs, once; later calls return at once.
#   tools/setup.sh             a virtual environment in .venv with the pinned packages
#   tools/setup.sh browser     a Chromium for the site tests, and esbuild
#   tools/setup.sh lighthouse  the pinned Lighthouse, an npm package, in tools/lighthouse
#   tools/setup.sh colab       .venv-colab: the same packages, but for those that Colab has older
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }
can_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }
apt_install() {
  say "Installing $* …"
  apt-get update -q >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >/dev/null
}

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3 python; do
    if command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
      printf '%s' "$candidate"
      return
    fi
  done
  say "The pinned environment needs Python 3.11, 3.12 or 3.13, and none was found here."
  say "Install one, or name it: make book PYTHON=/path/to/python3.12"
  exit 1
}

install() { .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps "$@"; }

environment() {
  local wanted python
  wanted=$(cat requirements.txt requirements.lock pyproject.toml | cksum)
  [ "$(cat .venv/.ready 2>/dev/null)" = "$wanted" ] && return
  if [ ! -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    say "Making a virtual environment in .venv with $("$python" --version) …"
    rm -rf .venv
    if ! "$python" -m venv .venv 2>/dev/null; then
      rm -rf .venv
      if can_apt; then
        apt_install "$("$python" -c 'import sys; print(f"python3.{sys.version_info[1]}-venv")')"
        "$python" -m venv .venv
      else
        say "Python's venv module is missing. On Debian or Ubuntu: sudo apt install python3-venv"
        exit 1
      fi
    fi
  fi
  say "Installing the packages of requirements.txt (about 1.5 GB; some minutes, once) …"
  # Only files whose hashes are written down. First what builds the one that is not ready-made;
  # torch last and by version, because its builds for CPU, CUDA and Apple differ.
  sed -nE '/^(setuptools|wheel)==/,/[^\\]$/p' requirements.lock >.venv/build.lock
  install --require-hashes -r .venv/build.lock
  install --require-hashes --no-build-isolation -r requirements.lock
  .venv/bin/python -m pip install --quiet --disable-pip-version-check "$(grep '^torch==' requirements.txt)"
  install --no-build-isolation -e .
  printf '%s\n' "$wanted" >.venv/.ready
}

browser() {
  local name
  if ! command -v esbuild >/dev/null; then # makes the scripts of the interactive figures small
    if can_apt; then apt_install esbuild; else say "Without esbuild the test of their size fails."; fi
  fi
  if can_apt && command -v fc-list >/dev/null && ! fc-list | grep -i 'noto.*cjk' >/dev/null; then
    apt_install fonts-noto-cjk
  fi
  if ! .venv/bin/python -m playwright --version >/dev/null 2>&1; then
    if can_apt; then apt_install libatomic1; else
      say "Playwright, which drives the browser, does not start. On Debian: sudo apt install libatomic1"
      exit 1
    fi
  fi
  [ -n "${BROWSER_PATH:-}" ] && return
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    command -v "$name" >/dev/null && return
  done
  [ -e "/Applications/Google Chrome.app" ] && return
  if can_apt; then
    apt_install chromium fonts-noto-cjk
  else
    say "No Chromium or Chrome found; taking Playwright's own …"
    .venv/bin/python -m playwright install chromium
  fi
}

lighthouse() {
  local folder=tools/lighthouse wanted
  wanted=$(cat $folder/package.json $folder/package-lock.json | cksum)
  [ "$(cat $folder/node_modules/.ready 2>/dev/null)" = "$wanted" ] && return
  if ! command -v npm >/dev/null; then
    if can_apt; then apt_install nodejs npm; else
      say "Lighthouse needs Node 18.20 or newer, with npm, and none was found here."
      exit 1
    fi
  fi
  say "Installing Lighthouse (185 MB, once) …"
  (cd $folder && npm ci --silent --no-audit --no-fund)
  printf '%s\n' "$wanted" >$folder/node_modules/.ready
}

# Only the packages that differ are installed; a .pth file finds the others in .venv. Python looks
# through it after the folder it lies in, so the older ones come first.
colab() {
  local wanted site
  wanted=$(cat tests/colab-requirements.lock .venv/pyvenv.cfg | cksum)
  [ "$(cat .venv-colab/.ready 2>/dev/null)" = "$wanted" ] && return
  say "Making .venv-colab, with the ipywidgets and IPython of Colab …"
  rm -rf .venv-colab
  .venv/bin/python -m venv --without-pip .venv-colab
  .venv/bin/python -m pip --python .venv-colab/bin/python install --quiet \
    --disable-pip-version-check --no-deps --require-hashes -r tests/colab-requirements.lock
  site='import sysconfig; print(sysconfig.get_path("purelib"))'
  printf 'import site; site.addsitedir("%s")\n' "$(.venv/bin/python -c "$site")" \
    >"$(.venv-colab/bin/python -c "$site")/packages-of-venv.pth"
  printf '%s\n' "$wanted" >.venv-colab/.ready
}

if [ "${1:-}" != colab ] || [ ! -e .venv/.ready ]; then environment; fi
if [ "${1:-}" = browser ]; then browser; fi
if [ "${1:-}" = lighthouse ]; then lighthouse; fi
if [ "${1:-}" = colab ]; then colab; fi
