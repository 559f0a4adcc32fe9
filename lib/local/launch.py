"""Start a program so that it ends with its parent, and, when root asks, under another name than root.

Run as a script (`python launch.py --parent PID --death-signal N --identity same -- argv…`) between fork and the program:
the supervisor itself stays free of code that runs in a forked copy of it. Standard library only; starts in 20 ms.

PostgreSQL refuses to run as root, but the checkout of root may sit where nobody else may look (`/root`, mode 0700).
Two ways keep the permissions of all folders as they are:
- `namespace`: a user namespace in which root's files belong to `nobody`. No right is gained, no file changes hands.
- `nobody`: where containers forbid user namespaces, the user `nobody` with the one capability to pass closed folders.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CLONE_NEWUSER = 0x10000000
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


def _libc(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def someone_else() -> pwd.struct_passwd:
    """`nobody`, or whoever else the system knows: initdb asks for the name of its user."""
    users = [user for user in pwd.getpwall() if user.pw_uid != 0]
    return next((user for user in users if user.pw_name == "nobody"), users[0])


def enter_namespace() -> None:
    outer_user, outer_group = os.geteuid(), os.getegid()
    inner = someone_else()
    _libc("unshare", CLONE_NEWUSER)
    for file, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{inner.pw_uid} {outer_user} 1"),
        ("gid_map", f"{inner.pw_gid} {outer_group} 1"),
    ):
        with open(f"/proc/self/{file}", "w") as handle:
            handle.write(line)


def become_nobody() -> None:
    user = someone_else()
    _libc("prctl", PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    only = 1 << CAP_DAC_OVERRIDE  # effective, permitted, inheritable; then the upper 32 bits of each
    _libc("capset", header, (ctypes.c_uint32 * 6)(only, only, only, 0, 0, 0))
    _libc("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


IDENTITIES = {"same": lambda: None, "namespace": enter_namespace, "nobody": become_nobody}


def end_with_parent(parent: int, signal_number: int) -> None:
    """Linux only; elsewhere what is left over is ended at the next start."""
    if sys.platform == "linux":
        _libc("prctl", PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            sys.exit(1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--death-signal", type=int, required=True)
    parser.add_argument("--identity", choices=IDENTITIES, default="same")
    parser.add_argument("argv", nargs="+")
    options = parser.parse_args()
    try:
        IDENTITIES[options.identity]()
        end_with_parent(options.parent, options.death_signal)  # after the above: a change of rights forgets it
        os.execvp(options.argv[0], options.argv)
    except OSError as error:
        sys.exit(f"{options.argv[0]} as {options.identity}: {error}")


if __name__ == "__main__":
    main()
