"""Network families, one file each: a frozen ``Network`` section that builds a module with ``to_graph()``."""
