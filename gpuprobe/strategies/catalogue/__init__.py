"""The strategies. Every file here is loaded; a function with `@strategy` joins the list, and nothing else changes."""
