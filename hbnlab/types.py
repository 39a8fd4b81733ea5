"""Names for types that annotations share."""

Number = float | int
"""A number that people also write without a point; beartype takes an int for no float."""
