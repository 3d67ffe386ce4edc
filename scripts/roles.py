"""The reference of roles, from the table that the machine goes by.

python scripts/roles.py prints docs/reference/roles.md; `make docs` writes it.
"""

from ostler.core.roles import NEEDS
from ostler.model.site import Role

HEAD = """\
# Roles

Made by `make docs` from the table in `ostler.core.roles`; do not edit.

What each verb needs: of what is one's own, or nobody's; and of what is another user's. Each role may
what the ones before it may: `user`, `operator`, `admin`. A user's role is in the table
[users](database.md#users); the owner of the machine and root are `admin` always.
What is refused exits with 3.

| verb | means | own | of others |
|---|---|---|---|
"""


def word(role: Role) -> str:
    """Return a role as the table has it."""
    return f"`{role.word}`"


def page() -> str:
    """Return the page."""
    rows = (
        f"| `{verb}` | {need.words} | {word(need.own)} | {word(need.others)} |"
        for verb, need in NEEDS.items()
    )
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(page(), end="")
