"""A copy of a study that is fit to publish: what tells whose it was is replaced by rule, and the copy is proved."""
