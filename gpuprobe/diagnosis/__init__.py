"""Evidence into one diagnosis: rules give findings, which are joined, doubted and completed with advice."""
