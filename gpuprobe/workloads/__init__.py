"""What is trained: the model, its data, loss and optimiser as one `Workload`."""
