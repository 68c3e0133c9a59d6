"""The workloads of ours. Every file here is loaded; a function with `@workload` joins the list."""
