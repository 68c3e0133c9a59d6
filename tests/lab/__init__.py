"""The lab: sessions whose truth is known, and how well a diagnosis finds it. `make lab` prints its grades."""
