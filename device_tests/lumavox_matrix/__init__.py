"""The telemetry test matrix: chipset × firmware × runtime × model, on real, emulated and virtual devices.

It imports ``lumavox`` and never ``lumavox_export``: what is tested is what a device runs.

    profile  a chipset, one TOML file                 cell     one combination, its rung and status
    plan     which cells, why these, how long         run      runs them, resumable, on devices behind links
    runner/  what is pushed to a device               store    one folder of results, append-only
    links/   one file per way to reach a device       cli/     one file per subcommand
"""
