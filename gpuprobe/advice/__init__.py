"""What to do about a cause, given the card and the settings; never a change that cannot help here or is on already."""
