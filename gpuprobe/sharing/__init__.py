"""A copy of a study that is fit to publish: what tells whose it is, is replaced; then the copy is searched for it."""
