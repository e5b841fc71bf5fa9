"""Names for types that several rooms use."""

from typing import Any, TypeAlias

# An `ml_collections.ConfigDict`, whose attributes no type checker can know.
Config: TypeAlias = Any
