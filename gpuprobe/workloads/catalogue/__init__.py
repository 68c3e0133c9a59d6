"""The built-in workloads. Every file here is loaded; a function with `@workload` joins the list."""
