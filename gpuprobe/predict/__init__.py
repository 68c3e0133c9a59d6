"""What a step should take: roofline, launches and host, for a card or for this machine; a model, not a measurement."""
