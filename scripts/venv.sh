#!/bin/sh
# Makes .venv in the checkout, or says what to install: venv.sh FOLDER [PYTHON]
set -eu

venv=$1
wanted=${2:-}
install='apt-get install -y python3-venv   (Debian, Ubuntu; dnf install python3 on Fedora)'

fit() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

found=
seen=
for name in ${wanted:-python3 python3.14 python3.13 python3.12 python3.11}; do
    command -v "$name" >/dev/null || continue
    seen="$seen $name"
    if fit "$name"; then found=$name && break; fi
done

if [ -z "$seen" ]; then
    echo "make: no ${wanted:-python3} on this host; install Python 3.11 or newer:" >&2
    echo "    $install" >&2
    exit 2
fi
if [ -z "$found" ]; then
    # shellcheck disable=SC2086 # a list of names
    set -- $seen
    echo "make: Ostler needs Python 3.11 or newer, and $1 here is $("$1" -V 2>&1)" >&2
    echo "    install a newer one, then: make PYTHON=python3.12" >&2
    exit 2
fi
if ! "$found" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "make: $found (Python $version) cannot make virtual environments; install the module:" >&2
    echo "    apt-get install -y python3-venv   (or python$version-venv, if $found is not the system's)" >&2
    exit 2
fi
"$found" -m venv "$venv"
