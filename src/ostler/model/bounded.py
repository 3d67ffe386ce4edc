"""Numbers and names that any database holds, for what agents and starters tell of themselves.

Checked as they are decoded: a number that cannot be stored would cost the whole batch it is in,
which others wait for. Not a number is refused by any bound.
"""

from typing import Annotated

from msgspec import Meta

from ostler.model.limits import MAX_ELEMENT, MAX_NAME

_MOST = 1 << 53  # what JSON holds exactly

Count = Annotated[int, Meta(ge=0, le=_MOST)]
Whole = Annotated[int, Meta(ge=-_MOST, le=_MOST)]
Amount = Annotated[float, Meta(ge=-1e15, le=1e15)]  # seconds, also those since 1970
Index = Annotated[int, Meta(ge=0, le=MAX_ELEMENT)]  # of an element
Name = Annotated[str, Meta(max_length=MAX_NAME)]
