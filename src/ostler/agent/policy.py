"""Whose tasks this agent runs: its owner's on a personal machine, users' on a system machine."""

import os
import pwd

from ostler.model.orders import Launch

UID_MIN = 1000  # below are the accounts of services


def refusal(launch: Launch, *, system: bool, uid_min: int = UID_MIN) -> str:
    """Return one sentence saying why the share may not run here; empty when it may."""
    if not system:
        owner = os.geteuid()
        if launch.uid != owner:
            return (
                f"this machine belongs to uid {owner} and runs no tasks of {launch.user} "
                f"(uid {launch.uid}); a system machine (`ostler up --system`) would"
            )
        return ""
    if os.geteuid() != 0:
        return "the agent of this system machine does not run as root; start it as root"
    if launch.uid < uid_min:
        what = "root" if launch.uid == 0 else f"uid {launch.uid}"
        return f"tasks of {what} are not run on a system machine (lowest uid: {uid_min})"
    try:
        entry = pwd.getpwuid(launch.uid)
    except KeyError:
        return f"this node knows no user with uid {launch.uid} ({launch.user})"
    if entry.pw_name != launch.user:
        return (
            f"on this node uid {launch.uid} is {entry.pw_name}, not {launch.user}; "
            "make accounts agree on all nodes"
        )
    return ""
