"""What to do about a cause, given the card and the settings: nothing that cannot help here or is on already."""
