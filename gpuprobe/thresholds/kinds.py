"""What a threshold may be."""

from typing import Annotated

from msgspec import Meta

# A percentage is no share: 15 for 0.15 would silence a rule without a word.
Share = Annotated[float, Meta(ge=0, le=1)]
AtLeastZero = Annotated[float, Meta(ge=0)]
